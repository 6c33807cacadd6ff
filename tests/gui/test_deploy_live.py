"""The Deploy page over invented servers: every state, and what can be asked of one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QTableWidget
from pytestqt.qtbot import QtBot

from app.bootstrap import Deck
from app.models.request_table import COLUMNS
from app.pages.deploy import DeployPage
from core.paths import Home
from core.protocol.events import (
    CommandAcknowledged,
    OpenRequest,
    PhaseChanged,
    RunFinished,
    ServeAdapters,
    ServeEngine,
    ServeSelfTest,
)
from core.runlog.index import RunSummary
from core.runlog.run_dir import RunDir
from tests.gui.live_helpers import click, sent
from tests.gui.serve_scenes import (
    BASE,
    SCENES,
    TUNED,
    answered,
    append,
    ready,
    write_server,
)
from tests.gui.test_i18n import english_left

Show = Callable[..., tuple[DeployPage, RunDir]]


def catch_up(deck: Deck) -> None:
    for _ in range(200):
        deck.bridge.tick()
        view = deck.window.current_page.model.view
        if view is not None and view.caught_up:
            return
    raise AssertionError("the events were never read to the end")


def cell_text(table: QTableWidget, row: int, column: int) -> str:
    item = table.item(row, column)
    assert item is not None
    return item.text()


@pytest.fixture
def show(deck: Deck, home: Home) -> Show:
    def open_scene(name: str, **spec: object) -> tuple[DeployPage, RunDir]:
        run = write_server(home, name, SCENES[name](), alive=name != "failed", **spec)
        deck.window.resize(1360, 860)
        deck.window.show()
        deck.window.navigate("deploy", run_id=run.run_id)
        catch_up(deck)
        page = deck.window.current_page
        assert isinstance(page, DeployPage)
        return page, run

    return open_scene


def more(deck: Deck, run: RunDir, *events: object) -> None:
    append(run, events)  # type: ignore[arg-type]
    deck.bridge.tick()
    deck.bridge.tick()
    QApplication.processEvents()


def test_targets_that_are_met_are_green_and_name_the_workload(show: Show) -> None:
    page, _ = show("busy")
    tiles = page.live.figures.tiles
    assert [tiles[n].light for n in ("qps", "p99", "memory")] == ["met", "met", "met"]
    assert "in / " in tiles["p99"].stat._caption.full_text
    assert "medians of" in page.live.figures.workload.full_text
    assert tiles["errors"].note == "queue_full 5, bad_request 2"
    assert tiles["cache"].stat.value == "23 %"


def test_a_quiet_server_is_grey_and_says_why(show: Show) -> None:
    page, _ = show("quiet")
    tiles = page.live.figures.tiles
    assert [tiles[n].light for n in ("qps", "p99", "memory")] == ["unknown"] * 3
    assert "self-test" in tiles["qps"].toolTip()
    assert "too few" in tiles["p99"].note
    assert tiles["memory"].stat.value == "1.2 GiB"


def test_loading_shows_how_far_and_is_not_ready(show: Show) -> None:
    page, _ = show("loading")
    assert page.live.banner.isVisible()
    assert "42 %" in page.live.banner.accessibleName()
    assert page.chip.accessibleName() == "loading"
    assert not page.live.tabs.isVisible()
    assert not page.copy_button.isVisible()


def test_ready_comes_only_with_the_event_that_a_probe_answered(deck: Deck, show: Show) -> None:
    page, run = show("loading")
    more(deck, run, PhaseChanged(phase="warming_up", fraction=1.0))
    assert page.model.state == "loading"
    more(deck, run, ready())
    assert page.model.state == "ready"
    assert page.live.tabs.isVisible()
    assert not page.live.banner.isVisible()


def test_a_crashed_engine_counts_down_and_comes_back(deck: Deck, show: Show) -> None:
    page, run = show("crashed")
    assert page.model.state == "restarting"
    assert page.chip.accessibleName() == "engine restarting"
    assert "Attempt 2 of 5" in page.live.banner.accessibleDescription()
    assert "Next try in" in page.live.banner.accessibleDescription()
    assert not page.chat_button.isVisible()
    more(deck, run, ServeEngine(state="ready"))
    assert page.model.state == "ready"
    assert not page.live.banner.isVisible()


def test_a_given_up_engine_says_what_to_do(deck: Deck, show: Show) -> None:
    page, run = show("crashed")
    more(deck, run, ServeEngine(state="given_up", reason="killed by signal 9", attempt=5))
    said = page.live.banner.accessibleName() + page.live.banner.accessibleDescription()
    assert "could not be brought back" in said
    assert "killed by signal 9" in said
    assert "5 times" in said


def test_a_failed_start_shows_cause_and_remedy_and_offers_to_start_again(show: Show) -> None:
    page, _ = show("failed")
    assert page.error_card.error is not None
    assert page.error_card.error.code == "serve.memory_short"
    assert "15.2 GiB" in page.error_card.accessibleName()
    assert page.toggle_button.accessibleName() == "Start again"


def test_open_requests_stand_on_top_and_can_be_cancelled_by_key(show: Show) -> None:
    page, run = show("busy")
    card = page.live.requests
    assert [card.rows.row_at(n).open is not None for n in range(4)] == [True, True, True, False]
    card.table.selectRow(0)
    card.table.setFocus()
    assert not card.open_button.isEnabled()
    QTest.keyClick(card.table, Qt.Key.Key_Delete)
    assert [c["kind"] for c in sent(run)] == ["cancel_request"]
    assert sent(run)[0]["request_id"] == card.rows.row_at(0).request_id


def test_a_request_stays_chosen_when_it_is_answered(deck: Deck, show: Show) -> None:
    page, run = show("busy")
    card = page.live.requests
    card.table.selectRow(1)
    chosen = card._chosen()
    assert chosen is not None
    done = answered(900, time.time(), request_id=chosen.request_id)
    more(deck, run, done)
    again = card._chosen()
    assert again is not None
    assert again.request_id == chosen.request_id
    assert again.done is not None
    assert card.open_button.isEnabled()


def test_a_time_that_grew_while_it_was_looked_at_is_not_cut(show: Show) -> None:
    page, _ = show("quiet")
    requests, total = page.live.requests, COLUMNS.index("total")
    view = page.model.view
    assert view is not None
    stats = view.state.stats
    assert stats is not None
    one = answered(1, stats.time_utc, total_ms=2_987.0, status=499, error_code="cancelled")
    waiting = OpenRequest(request_id=one.request_id, route=one.route, state="writing", age_s=2.7)
    page.window().resize(1024, 700)
    open_now = stats.model_copy(update={"open_requests": (waiting,)})
    requests.show_state(replace(view.state, requests=(), stats=open_now))
    QApplication.processEvents()
    requests.table.selectRow(0)
    QApplication.processEvents()
    closed = stats.model_copy(update={"open_requests": ()})
    requests.show_state(replace(view.state, requests=(one,), stats=closed))
    QApplication.processEvents()
    assert requests.rows.rowCount() == 1
    assert requests.table.columnWidth(total) >= requests.table.sizeHintForColumn(total)


def test_a_request_that_was_ended_by_hand_is_no_error(deck: Deck, show: Show) -> None:
    page, run = show("quiet")
    more(deck, run, answered(50, time.time(), status=403, error_code="cancelled"))
    card = page.live.requests
    assert card.rows.index(0, card.rows.columnCount() - 1).data() == "ended by you"
    click(card.errors_button)
    assert card.rows.rowCount() == 0
    assert card.empty.isVisible()


def test_the_errors_filter_leaves_only_what_was_refused_or_failed(show: Show) -> None:
    page, _ = show("busy")
    card = page.live.requests
    click(card.errors_button)
    assert card.rows.rowCount() == 1
    assert card.rows.row_at(0).done.status == 503
    click(card.errors_button)
    assert card.rows.rowCount() > 100


def test_a_refused_command_is_told_in_words(deck: Deck, show: Show) -> None:
    page, run = show("busy")
    page.live.requests.cancel_asked.emit("req-1")
    answer = CommandAcknowledged(
        command="cancel_request", accepted=False, detail="unknown_request",
        in_reply_to=sent(run)[0]["command_id"],
    )  # fmt: skip
    more(deck, run, answer)
    assert any("over already" in t for t in deck.window.notice_bar.texts)


def test_adapters_are_loaded_swapped_and_unloaded(deck: Deck, show: Show) -> None:
    page, run = show("busy")
    page.live.tabs.choose("adapters")
    lines = page.live.adapters.lines
    assert list(lines) == [BASE, TUNED]
    click(lines[BASE].default_button)
    assert sent(run)[0]["default"] == BASE
    assert not page.live.adapters.lines[TUNED].unload_button.isEnabled()  # one at a time
    accepted = CommandAcknowledged(command="adapter", in_reply_to=sent(run)[0]["command_id"])
    more(deck, run, ServeAdapters(adapters=(TUNED,), default=BASE), accepted)
    lines = page.live.adapters.lines
    assert lines[BASE].default_button.isHidden()
    click(lines[TUNED].unload_button)
    assert sent(run)[1]["unload"] == TUNED


def test_an_adapter_that_was_loaded_meanwhile_is_not_offered_again(deck: Deck, show: Show) -> None:
    page, run = show("busy")
    page.live.tabs.choose("adapters")
    card = page.live.adapters
    page.live.adapter_runs = [RunSummary(i, job="train") for i in ("run-a", "run-b")]
    page.live.refresh()
    offered = [card.run_box.itemData(i) for i in range(card.run_box.count())]
    assert offered == ["run-a", "run-b"]
    folders = {TUNED: "/elsewhere/legal-qa", f"{BASE}:a": "/home/runs/run-a/adapter"}
    more(deck, run, ServeAdapters(adapters=tuple(folders), default=BASE, folders=folders))
    assert [card.run_box.itemData(i) for i in range(card.run_box.count())] == ["run-b"]
    more(deck, run, ServeAdapters(adapters=(TUNED,), default=BASE, folders={}))
    assert card.run_box.count() == 2  # unloaded: offered again


def test_the_round_that_asks_all_at_once_is_told_apart_and_judged_by_nobody(
    deck: Deck, show: Show
) -> None:
    page, run = show("quiet")
    page.live.tabs.choose("self_test")
    table = page.live.self_test.table
    burst = ServeSelfTest(phase="running", rate_qps=12.0, completed=16, latency_p99_ms=1400.0,
                          detail="burst")  # fmt: skip
    rate = ServeSelfTest(phase="running", rate_qps=3.6, completed=5, latency_p99_ms=900.0)
    done = ServeSelfTest(phase="done", latency_p99_ms=900.0, sustained_qps=0.0)
    more(deck, run, burst, rate, done)
    cells = [[cell_text(table, row, column) for column in (0, 6)] for row in (0, 1)]
    assert cells == [["all at once: 12.0", "–"], ["3.6", "too much"]]
    assert "900 ms" in page.live.self_test.verdict.text()


def test_the_self_test_is_asked_for_with_its_lengths_and_tells_rates_and_verdict(
    deck: Deck, show: Show
) -> None:
    page, run = show("quiet")
    page.live.tabs.choose("self_test")
    card = page.live.self_test
    card.prompt_box.setValue(512)
    click(card.start_button)
    assert (sent(run)[0]["kind"], sent(run)[0]["prompt_tokens"]) == ("self_test", 512)
    assert not card.start_button.isEnabled()
    assert card.progress.isVisible()
    accepted = CommandAcknowledged(command="self_test", in_reply_to=sent(run)[0]["command_id"])
    told = [e for e in SCENES["self_tested"]() if e.KIND == "serve.self_test"]
    more(deck, run, accepted, *told[:2])
    assert card.table.rowCount() == 2
    assert "16.0 requests" in card.status.text()
    more(deck, run, *told[2:])
    assert card.table.rowCount() == 5
    assert "holds 48 requests a second" in card.verdict.text()
    assert "at most 71" in card.physics.text()
    assert card.start_button.isEnabled()
    tile = page.live.figures.tiles["qps"]
    assert (tile.light, tile.stat.value) == ("missed", "48.0")  # below 50, and now measured


def test_a_machine_too_slow_for_any_rate_says_what_one_answer_took(deck: Deck, show: Show) -> None:
    page, run = show("quiet")
    slow = ServeSelfTest(phase="done", prompt_tokens=128, answer_tokens=16, latency_p99_ms=3902.0,
                         sustained_qps=0.0, one_stream_tokens_per_second=5.5)  # fmt: skip
    more(deck, run, slow)
    assert "3,902 ms" in page.live.self_test.verdict.text()


def test_a_refused_self_test_says_why_on_its_card(deck: Deck, show: Show) -> None:
    page, run = show("quiet")
    page.live.tabs.choose("self_test")
    click(page.live.self_test.start_button)
    refused = CommandAcknowledged(
        command="self_test", accepted=False, detail="test_running",
        in_reply_to=sent(run)[0]["command_id"],
    )  # fmt: skip
    more(deck, run, refused)
    assert "running already" in page.live.self_test.status.text()


def test_snippets_name_the_chosen_model_and_copy_the_key(show: Show) -> None:
    page, _ = show("busy")
    page.live.tabs.choose("connect")
    view = page.live.connect_view
    view.access.model_box.setCurrentText(BASE)
    view.snippets.tabs.choose("python")
    key = page.ctx.services.serve.api_key()
    assert f'model="{BASE}"' in view.snippets.text.toPlainText()
    assert key not in view.snippets.text.toPlainText()
    click(view.snippets.copy_button)
    assert key in QGuiApplication.clipboard().text()


def test_a_server_open_to_the_network_wears_a_badge_and_a_warning(show: Show) -> None:
    page, _ = show("busy", host="0.0.0.0")
    assert page.badge.isVisible()
    assert page.badge.accessibleName() == "open to the network"
    assert page.live.exposure.isVisible()


def test_a_server_of_this_computer_alone_wears_none(show: Show) -> None:
    page, _ = show("busy")
    assert not page.badge.isVisible()
    assert not page.live.exposure.isVisible()


def test_an_ended_server_keeps_its_figures_but_nothing_can_be_asked(deck: Deck, show: Show) -> None:
    page, run = show("busy")
    page.live.tabs.choose("connect")
    (run.path / "process.json").unlink()
    more(deck, run, RunFinished(outcome="stopped", reason="stop_requested"))
    assert page.model.state == "ended"
    assert page.live.tabs.key == "live"
    assert not page.live.tabs.buttons["connect"].isVisible()
    assert page.live.figures.isVisible()
    assert not page.copy_button.isVisible()


def test_a_request_of_an_ended_server_is_said_to_be_forgotten(deck: Deck, show: Show) -> None:
    page, run = show("busy")
    more(deck, run, RunFinished(outcome="stopped", reason="stop_requested"))
    page.live.requests.open_asked.emit("req-000001")
    assert any("does not remember" in t for t in deck.window.notice_bar.texts)


@pytest.mark.parametrize("scene", list(SCENES))
def test_no_english_is_left_in_a_chinese_window(deck: Deck, show: Show, scene: str) -> None:
    page, _ = show(scene)
    deck.window.ctx.language.set_choice("zh_CN")
    QApplication.sendPostedEvents()
    for tab in page.live.tabs.buttons:
        page.live.tabs.choose(tab)
        left = [t for t in english_left(page) if BASE not in t and t not in NAMES_OF_THINGS]
        assert left == []


NAMES_OF_THINGS = {"queue_full 5, bad_request 2", "token"}
"""Codes as a program sees them, and the word that stays as it is in Chinese."""


@pytest.mark.parametrize(("width", "a_row"), [(1360, 4), (1024, 4)])
def test_a_narrow_window_cuts_no_figure(deck: Deck, show: Show, width: int, a_row: int) -> None:
    page, _ = show("busy")
    deck.window.resize(width, 700)
    QGuiApplication.processEvents()
    tiles = list(page.live.figures.tiles.values())
    assert len({t.y() for t in tiles}) == len(tiles) // a_row
    assert all(t.stat._value.text() == t.stat.value for t in tiles)
    for name in ("connect", "adapters", "self_test", "live"):
        page.live.tabs.choose(name)
        QGuiApplication.processEvents()
        body = page.scroll_area.widget()
        assert body.minimumSizeHint().width() <= page.scroll_area.viewport().width(), name


def test_curves_slide_over_the_last_ten_minutes(qtbot: QtBot) -> None:
    from app.widgets.deploy_axis import RECENT_S, RecentAxis
    from core.metrics import RunSeries

    axis, run = RecentAxis(), RunSeries()
    axis.set_runs([run])
    for second in (1, 300, 599):
        run.elapsed_s.append(second, second)
    axis.reset()
    assert axis.view[0] == 0.0
    run.elapsed_s.append(4000, 4000)
    axis.keep_up()
    assert axis.view[0] == pytest.approx(4000 - RECENT_S)
