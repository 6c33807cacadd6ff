import pytest

from app.announcer import Announcer
from app.desktop_notice import DesktopNotice
from core.protocol.events import AlarmRaised
from tests.gui.written_runs import append, begun, ended, step, write_run


@pytest.fixture
def said(deck):
    """What the announcer says: (in the window, on the desktop), with no run in front."""
    inside, outside, shown = [], [], []
    ctx = deck.window.ctx
    deck.announcer.deleteLater()
    deck.announcer = Announcer(
        ctx.bridge, ctx.settings, lambda text, tone, **_: inside.append((text, tone)),
        ctx.navigate, lambda: shown[0] if shown else "", deck.root,
        desktop=lambda title, text: outside.append(title),
    )  # fmt: skip
    return inside, outside, shown


@pytest.fixture
def run(deck, home):
    made = write_run(home, [*begun(), step(1)], alive=True)
    deck.window.ctx.services.supervisor.attach(made.run_id)
    deck.bridge.tick()
    yield made
    made.process_json.unlink(missing_ok=True)


def raised(deck, run, **values):
    append(run, [AlarmRaised(alarm="diverging", step=2, **values)])
    deck.bridge.tick()


def test_an_alarm_is_told_in_the_window_and_outside_of_it(deck, said, run):
    raised(deck, run, severity="error", action="notify")
    assert said[0] == [("law: Training is diverging", "error")]
    assert said[1] == ["law: Training is diverging"]


def test_an_alarm_that_the_guard_only_marks_is_not_told(deck, said, run):
    raised(deck, run, severity="error", action="mark")
    raised(deck, run, severity="note", action="notify")
    assert said[0] == said[1] == []


def test_the_page_of_the_run_needs_no_notice_but_the_desktop_may(deck, said, run):
    said[2].append(run.run_id)
    raised(deck, run, severity="warning", action="pause")
    assert said[0] == []
    assert len(said[1]) == 1


def test_what_a_run_did_before_the_window_opened_is_no_news(deck, said, home):
    old = AlarmRaised(alarm="diverging", step=2, severity="error", time_utc=1.0)
    made = write_run(home, begun(), alive=True)
    view = deck.window.ctx.services.supervisor.attach(made.run_id)
    from dataclasses import replace

    deck.bridge.run_changed.emit(replace(view, alive=True, new_events=(old,)))
    assert said[0] == said[1] == []
    made.process_json.unlink()


def test_the_end_is_told_on_the_desktop_too(deck, said, run):
    append(run, ended())
    run.process_json.unlink()
    deck.bridge.tick()
    assert said[1] == ["Training “law”: completed"]


def test_a_window_in_front_needs_no_message_on_the_desktop(deck, qtbot):
    notice = DesktopNotice(deck.window)
    assert notice("title", "text")
    deck.window.show()
    deck.window.activateWindow()
    qtbot.waitUntil(deck.window.isActiveWindow)
    assert not notice("title", "text")
