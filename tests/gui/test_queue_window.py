"""The queue in the window: added, ordered, worked, and what comes after the last one."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.pages.train import TrainPage
from app.queue_worker import GRACE_S, Farewell, QueueWorker
from core.errors import AppError, ErrorCode


@pytest.fixture
def page(deck) -> TrainPage:
    deck.window.resize(1360, 900)
    deck.window.show()
    deck.window.navigate("train")
    return deck.window.current_page


def add(page, qtbot, name):
    page.form.how.name_line.setText(name)
    known = len(page.ctx.services.queue.read().items)
    QTest.mouseClick(page.queue_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(page.ctx.services.queue.read().items) == known + 1, timeout=10_000)
    qtbot.waitUntil(page.queue_button.isEnabled)


def names(page):
    return [i.name for i in page.ctx.services.queue.read().items]


def test_a_training_is_added_to_the_queue_and_shown_beside_the_form(page, qtbot, home):
    assert not page.form.queue_card.isVisible()
    add(page, qtbot, "first")
    assert page.form.queue_card.isVisible()
    assert len(page.form.queue_card.lines) == 1
    assert not home.runs.exists()


def test_entries_are_moved_and_taken_out(page, qtbot):
    add(page, qtbot, "first")
    add(page, qtbot, "second")
    second = page.ctx.services.queue.read().items[1].item_id
    page.form.queue_card.lines[second].buttons["up"].click()
    assert names(page) == ["second", "first"]
    page.form.queue_card.lines[second].buttons["remove"].click()
    assert names(page) == ["first"]


def test_a_wrong_form_puts_nothing_in_the_queue(page):
    page.form.how.amount_line.setText("0")
    QTest.mouseClick(page.queue_button, Qt.MouseButton.LeftButton)
    assert page.form.rows["amount"].error
    assert names(page) == []


def test_the_window_starts_what_waits_and_says_when_one_cannot_start(page, deck, qtbot, tmp_path):
    data = tmp_path / "rows.jsonl"
    data.write_text('{"prompt": "a", "completion": "b"}\n' * 4, "utf-8")
    page.form.choose_data(data)
    add(page, qtbot, "doomed")
    data.unlink()
    errors = []
    deck.queue.failed.connect(errors.append)
    deck.queue.look()
    qtbot.waitUntil(lambda: errors != [], timeout=10_000)
    assert errors[0].code == ErrorCode.DATA_NOT_FOUND
    assert page.ctx.services.queue.read().items[0].state == "failed"


def test_holding_is_one_click_and_seen_by_all(page, qtbot):
    add(page, qtbot, "first")
    page.form.queue_card.hold_button.click()
    assert page.ctx.services.queue.read().held
    page.form.queue_card.hold_button.click()
    assert not page.ctx.services.queue.read().held


def test_the_computer_is_switched_off_only_after_a_minute_that_can_be_refused(deck, qtbot):
    done = []
    kept = Farewell("shut_down", done.append, deck.window)
    kept.open()
    kept.stay.click()
    for _ in range(GRACE_S + 5):
        kept.count() if kept._timer.isActive() else None
    assert done == []
    let = Farewell("shut_down", done.append, deck.window)
    let.open()
    for _ in range(GRACE_S):
        let.count()
    assert done == ["shut_down"]


def test_a_refused_shut_down_is_shown(deck, qtbot):
    def refuse(action):
        raise AppError(ErrorCode.POWER_REFUSED, action=action)

    worker = QueueWorker(deck.window.ctx.services, deck.background, deck.window, refuse)
    errors = []
    worker.failed.connect(errors.append)
    worker._perform("sleep")
    assert [e.code for e in errors] == ["power.refused"]
