from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

import psutil
import pytest
from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

from app.bootstrap import Deck, InstanceServer, raise_first_window
from app.pages.base import Page
from app.pages.registry import PAGES
from core.config.fetch import FetchSpec
from core.errors import AppError, ErrorCode, ErrorInfo
from core.paths import PROJECT_ROOT, Home
from core.runlog.run_dir import RunDir
from core.services.documents import run_document

PAGE_IDS = [p.page_id for p in PAGES]
INTERACTIVE = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
)


def settle(deck: Deck, qtbot) -> None:
    qtbot.waitUntil(lambda: not deck.background.busy, timeout=20_000)


# start


def test_the_window_imports_neither_torch_nor_plots_before_they_are_needed() -> None:
    code = (
        "import sys, app.bootstrap; "
        "heavy = {'torch', 'transformers', 'peft', 'fastapi', 'pyqtgraph', 'qasync'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_no_page_imports_torch(home: Home) -> None:
    code = (
        "import sys\n"
        "from app.bootstrap import compose, make_app\n"
        "from app.pages.registry import PAGES\n"
        "from core.paths import Home\n"
        "deck = compose(make_app(), Home.default())\n"
        "for page in PAGES: deck.window.navigate(page.page_id)\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules)\n"
        "deck.close()\n"
    )
    env = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "DEEPDECK_HOME": str(home.root)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_ROOT, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "False False"


def test_only_the_page_that_is_shown_is_built(deck: Deck) -> None:
    deck.window.navigate("settings")
    assert list(deck.window.pages) == ["settings"]


# pages


@pytest.mark.parametrize("page_id", PAGE_IDS)
def test_each_page_opens_and_has_a_title(deck: Deck, qtbot, page_id: str) -> None:
    deck.window.show()
    deck.window.navigate(page_id)
    settle(deck, qtbot)
    page = deck.window.current_page
    assert page is not None
    assert type(page).__name__ != "BrokenPage"
    assert page.title_label.full_text
    assert page.error_card.error is None
    assert deck.window.notice_bar.error_card.error is None


@pytest.mark.parametrize("page_id", PAGE_IDS)
def test_everything_that_takes_focus_has_an_accessible_name(
    deck: Deck, qtbot, page_id: str
) -> None:
    deck.window.show()
    deck.window.navigate(page_id)
    settle(deck, qtbot)
    page = deck.window.current_page
    assert page is not None
    assert unnamed(page) == []


def unnamed(root: QWidget) -> list[str]:
    found = []
    for widget in root.findChildren(QWidget):
        inner = isinstance(widget.parentWidget(), QAbstractSpinBox | QComboBox)
        if inner or not isinstance(widget, INTERACTIVE):
            continue
        if widget.focusPolicy() == Qt.FocusPolicy.NoFocus or not widget.isVisibleTo(root):
            continue
        text = widget.text() if isinstance(widget, QAbstractButton) else ""
        if not (widget.accessibleName() or text).strip():
            found.append(f"{type(widget).__name__} in {type(widget.parentWidget()).__name__}")
    return found


@pytest.mark.parametrize("page_id", PAGE_IDS)
def test_a_page_fits_a_small_window_without_being_cut_at_the_side(
    deck: Deck, qtbot, page_id: str
) -> None:
    deck.window.show()
    deck.window.resize(1024, 700)
    deck.window.navigate(page_id)
    settle(deck, qtbot)
    QApplication.processEvents()
    page = deck.window.current_page
    assert page is not None
    body = page.scroll_area.widget()
    assert body.minimumSizeHint().width() <= page.scroll_area.viewport().width()


@pytest.mark.parametrize(("number", "page_id"), list(enumerate(PAGE_IDS, start=1)))
def test_ctrl_and_a_digit_open_a_page(deck: Deck, qtbot, number: int, page_id: str) -> None:
    deck.window.show()
    deck.window.activateWindow()
    qtbot.waitUntil(deck.window.isActiveWindow)
    deck.window.navigate("settings" if page_id != "settings" else "overview")
    key = Qt.Key(int(Qt.Key.Key_0) + number % 10)
    qtbot.keyClick(deck.window, key, Qt.KeyboardModifier.ControlModifier)
    assert deck.window.current_page is deck.window.pages[page_id]


def test_tab_walks_down_the_side_bar_first(deck: Deck, qtbot) -> None:
    deck.window.show()
    deck.window.navigate("overview")
    order = []
    widget = deck.window.side_bar.buttons["overview"]
    for _ in range(10):
        order.append(getattr(widget, "page_id", ""))
        widget = widget.nextInFocusChain()
        while widget.focusPolicy() == Qt.FocusPolicy.NoFocus:
            widget = widget.nextInFocusChain()
    assert order == PAGE_IDS


def test_arguments_of_navigate_reach_the_page(deck: Deck) -> None:
    heard: list[dict[str, object]] = []
    page = deck.window.page("doctor")
    page.on_shown = heard.append  # type: ignore[method-assign]
    deck.window.navigate("doctor", run_id="r1")
    assert heard == [{"run_id": "r1"}]


def test_a_page_that_cannot_be_built_says_so_and_leaves_the_others_usable(
    deck: Deck, monkeypatch
) -> None:
    def broken(*_: object) -> Page:
        raise AppError(ErrorCode.FILE_DAMAGED, path="/x", detail="boom")

    monkeypatch.setattr("app.main_window.make_page", broken)
    deck.window.navigate("doctor")
    page = deck.window.current_page
    assert page is not None
    assert page.error_card.error is not None
    assert page.error_card.error.code == "file.damaged"
    monkeypatch.undo()
    deck.window.navigate("settings")
    assert deck.window.current_page is deck.window.pages["settings"]
    assert deck.window.pages["settings"].error_card.error is None


def test_a_page_that_fails_while_it_is_shown_is_reported_in_the_window(deck: Deck) -> None:
    def fail(_args: dict[str, object]) -> None:
        raise RuntimeError("no luck")

    page = deck.window.page("doctor")
    page.on_shown = fail  # type: ignore[method-assign]
    deck.window.navigate("doctor")
    shown = deck.window.notice_bar.error_card.error
    assert shown is not None
    assert "no luck" in shown.detail


# errors


class Thrower(QObject):
    thrown = Signal()

    def throw(self) -> None:
        raise RuntimeError("raised in a slot")


def test_an_exception_in_a_slot_is_shown(deck: Deck, qtbot) -> None:
    deck.window.show()
    thrower = Thrower()
    thrower.thrown.connect(thrower.throw)
    reported: list[ErrorInfo] = []
    deck.reporter.reported.connect(reported.append)
    # pytest-qt fails a test on an exception in a slot; here that is what is tested.
    with qtbot.captureExceptions():
        deck.reporter.install()
        thrower.thrown.emit()
        QApplication.processEvents()
    assert [r.code for r in reported] == ["internal"]
    assert "raised in a slot" in reported[0].detail
    card = deck.window.notice_bar.error_card
    assert card.isVisible()


def test_diagnostics_of_an_error_hold_the_code_and_no_secret(deck: Deck, qtbot) -> None:
    card = deck.window.notice_bar.error_card
    error = ErrorInfo(
        code="model.fetch_failed",
        params={"model": "m", "detail": "401"},
        detail="GET https://me:hunter2@host/x Authorization: Bearer abc.def-123 "
        "api_key=sk-12345678",
    )
    card.show_error(error)
    card.copy_button.click()
    copied = QGuiApplication.clipboard().text()
    assert "model.fetch_failed" in copied
    for secret in ("hunter2", "abc.def-123", "sk-12345678"):
        assert secret not in copied


# the pinned fact about PySide


class Emitter(QObject):
    said = Signal(object)


class Listener(QObject):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def hear(self, _value: object) -> None:
        self.count += 1


def test_ten_thousand_signals_leak_no_reference_to_their_argument() -> None:
    emitter, listener = Emitter(), Listener()
    emitter.said.connect(listener.hear)
    value = object()
    before = (sys.getrefcount(value), sys.getrefcount(True), sys.getrefcount(None))
    for _ in range(10_000):
        emitter.said.emit(value)
    after = (sys.getrefcount(value), sys.getrefcount(True), sys.getrefcount(None))
    assert listener.count == 10_000
    # 3.12 and later make True and None immortal; a leak or a drop would count thousands.
    assert all(abs(a - b) < 100 for a, b in zip(after, before, strict=True))


# notices


def test_the_same_notice_is_not_said_twice_at_once(deck: Deck) -> None:
    deck.window.notify("Saved.", "ok")
    deck.window.notify("Saved.", "ok")
    assert deck.window.notice_bar.texts == ["Saved."]


def test_at_most_three_notices_are_kept(deck: Deck) -> None:
    for n in range(5):
        deck.window.notify(f"note {n}", "error")
    assert deck.window.notice_bar.texts == ["note 2", "note 3", "note 4"]


def test_the_action_of_a_notice_runs_and_the_notice_leaves(deck: Deck, qtbot) -> None:
    deck.window.show()
    done: list[int] = []
    deck.window.notify("Ended.", "error", action="Show", on_action=lambda: done.append(1))
    buttons = [
        b for b in deck.window.notice_bar.findChildren(QAbstractButton) if b.text() == "Show"
    ]
    buttons[0].click()
    assert done == [1]
    assert deck.window.notice_bar.texts == []


# settings


def test_settings_survive_the_window(open_deck) -> None:
    first = open_deck()
    first.window.ctx.settings.change(scheme="dark", language="zh_CN", data_paths=("/a",))
    second = open_deck()
    value = second.window.ctx.settings.value
    assert (value.scheme, value.language, value.data_paths) == ("dark", "zh_CN", ("/a",))
    assert second.window.ctx.theme.scheme == "dark"
    assert second.window.ctx.language.language == "zh"


def test_a_settings_file_that_is_not_json_does_not_stop_the_start(open_deck, home: Home) -> None:
    home.settings_file.parent.mkdir(parents=True)
    home.settings_file.write_text("{nonsense", encoding="utf-8")
    deck = open_deck()
    assert deck.window.ctx.settings.value.scheme == "system"


def test_one_bad_setting_does_not_cost_the_others(open_deck, home: Home) -> None:
    home.settings_file.parent.mkdir(parents=True)
    home.settings_file.write_text('{"scheme": "purple", "notify": false}', encoding="utf-8")
    deck = open_deck()
    assert deck.window.ctx.settings.value.scheme == "system"
    assert deck.window.ctx.settings.value.notify is False


def test_the_size_of_the_window_is_remembered(open_deck) -> None:
    first = open_deck()
    first.window.show()
    first.window.resize(960, 700)
    first.window.close()
    second = open_deck()
    assert (second.window.width(), second.window.height()) == (960, 700)


# one window a home


def test_a_second_start_raises_the_first_window(qapp, home: Home, qtbot) -> None:
    assert raise_first_window(home) is False
    server = InstanceServer(home)
    assert server.listening
    with qtbot.waitSignal(server.raise_asked, timeout=5000):
        assert raise_first_window(home) is True
    server.close()


def test_another_home_may_have_its_own_window(qapp, tmp_path, home: Home) -> None:
    server = InstanceServer(home)
    assert raise_first_window(Home(tmp_path / "other")) is False
    server.close()


# closing with live runs

SLEEPER = "tests.gui.sleeping_worker"


@pytest.fixture
def live_run(deck: Deck, home: Home):
    """A real process that the supervisor started: it sleeps until it is told to stop."""
    spec = FetchSpec(model="none")
    run = RunDir.create(home.runs, "20260101-000000-fetch-x-0001", run_document("fetch", spec))
    view = deck.window.ctx.services.supervisor.start(run, SLEEPER)
    supervisor = deck.window.ctx.services.supervisor
    end = time.monotonic() + 20
    while not supervisor.view(view.run_id).alive and time.monotonic() < end:
        supervisor.tick()
        time.sleep(0.02)
    yield view.run_id
    pid = supervisor.view(view.run_id).pid
    if pid and psutil.pid_exists(pid):
        process = psutil.Process(pid)
        process.kill()
        with contextlib.suppress(psutil.Error):
            process.wait(10)  # a killed process is there for a moment still
    supervisor.tick()


def test_closing_with_a_live_run_asks_and_cancel_keeps_the_window(
    deck: Deck, qtbot, live_run: str
) -> None:
    deck.window.ctx.settings.change(on_close="ask")
    deck.window.show()
    deck.window.close()
    dialog = deck.window._leaving.dialog
    assert dialog is not None
    assert deck.window.isVisible()
    assert dialog.defaultButton().text() == "Leave running"
    dialog.reject()
    QApplication.processEvents()
    assert deck.window.isVisible()
    deck.window.ctx.settings.change(on_close="leave")


def test_leaving_a_live_run_closes_the_window_and_not_the_run(
    deck: Deck, qtbot, live_run: str
) -> None:
    deck.window.ctx.settings.change(on_close="ask")
    deck.window.show()
    deck.window.close()
    dialog = deck.window._leaving.dialog
    assert dialog is not None
    with qtbot.waitSignal(deck.window.closed, timeout=5000):
        dialog.defaultButton().click()
    assert deck.window.ctx.services.supervisor.view(live_run).alive


def test_stop_and_save_closes_the_window_when_the_run_has_ended(
    deck: Deck, qtbot, live_run: str
) -> None:
    deck.window.ctx.settings.change(on_close="stop")
    deck.window.show()
    deck.bridge.start()
    with qtbot.waitSignal(deck.window.closed, timeout=30_000):
        deck.window.close()
    assert not deck.window.ctx.services.supervisor.view(live_run).alive


# the bridge


def test_a_hidden_window_ticks_less_often(deck: Deck) -> None:
    timers = deck.bridge.findChildren(QTimer)
    fast = sorted(t.interval() for t in timers)
    deck.bridge.set_window_visible(False)
    slow = sorted(t.interval() for t in timers)
    assert all(s > f for s, f in zip(slow, fast, strict=True))


def test_a_supervisor_that_fails_is_reported_once_and_ticking_goes_on(
    deck: Deck, monkeypatch
) -> None:
    def fail() -> list[object]:
        raise AppError(ErrorCode.FILE_DAMAGED, path="/x", detail="boom")

    heard: list[ErrorInfo] = []
    deck.bridge.failed.connect(heard.append)
    monkeypatch.setattr(deck.window.ctx.services.supervisor, "tick", fail)
    for _ in range(3):
        deck.bridge.tick()
    assert [e.code for e in heard] == ["file.damaged"]


def test_background_work_of_a_deleted_owner_is_dropped(deck: Deck, qtbot) -> None:
    heard: list[object] = []
    owner = QObject()
    deck.background.run(owner, lambda: time.sleep(0.05) or 1, heard.append, heard.append)
    import shiboken6

    shiboken6.delete(owner)
    settle(deck, qtbot)
    assert heard == []


def test_quiet_news_leaves_with_its_language_and_warnings_stay(deck: Deck, qtbot) -> None:
    deck.window.show()
    deck.window.notify("Saved.", "ok")
    deck.window.notify("Ended badly.", "error")
    deck.window.ctx.language.set_choice("zh_CN")
    qtbot.waitUntil(lambda: deck.window.notice_bar.texts == ["Ended badly."])
