import pytest

from app.pages.train_rate import read_factor
from core.protocol.events import (
    CommandAcknowledged,
    PhaseChanged,
    RunFinished,
    RunStarted,
)
from tests.gui.live_helpers import click, sent, show
from tests.gui.scenes import Curves, begun, rolled_back
from tests.gui.written_runs import append, usual, write_run


@pytest.fixture
def page(deck, qtbot):
    deck.window.resize(1280, 800)
    deck.window.show()
    deck.window.navigate("train")
    return deck.window.current_page


@pytest.fixture
def living(page, deck, home):
    run = write_run(home, [*begun(), *Curves().range(1, 40)], alive=True)
    show(deck, run)
    yield run
    run.process_json.unlink(missing_ok=True)


def test_the_card_can_be_freed_during_a_pause(page, living):
    page.controls.free_action.trigger()
    assert [(c["kind"], c["free_gpu"]) for c in sent(living)] == [("pause", True)]


def test_without_a_card_there_is_nothing_to_free(page, deck, home):
    run = write_run(home, usual(), alive=True)
    show(deck, run)
    assert page.controls.pause.main.isVisible()
    assert not page.controls.pause.arrow.isVisible()
    run.process_json.unlink()


def test_a_run_can_be_stopped_without_saving(page, living):
    page.controls.drop_action.trigger()
    assert [(c["kind"], c["save"]) for c in sent(living)] == [("stop", False)]


def test_the_rate_is_changed_by_a_factor_and_the_result_is_told_before(page, living):
    click(page.controls.rate_button)
    popover = page.controls.rate_popover
    popover.factor_line.setText("0.5")
    rate = page.model.series.learning_rate.last[1]
    assert popover.result_text == f"next step about {rate / 2:.1e}".replace("e-0", "e-")
    click(popover.apply_button)
    assert [(c["kind"], c["lr_scale"]) for c in sent(living)] == [("set_learning_rate", 0.5)]
    assert not popover.isVisible()


def test_factors_come_on_top_of_the_scale_that_is_in_force(page, deck, home):
    run = write_run(home, rolled_back(Curves()), alive=True)
    show(deck, run)
    click(page.controls.rate_button)
    popover = page.controls.rate_popover
    click(popover.factor_buttons[0.5])
    assert sent(run)[0]["lr_scale"] == pytest.approx(1 / 12)
    run.process_json.unlink()


def test_every_change_of_the_rate_can_be_taken_back(page, deck, home):
    run = write_run(home, rolled_back(Curves()), alive=True)
    show(deck, run)
    click(page.controls.rate_button)
    click(page.controls.rate_popover.reset_button)
    assert sent(run)[0]["lr_scale"] == 1.0
    run.process_json.unlink()


def test_nonsense_is_no_factor(page, living):
    click(page.controls.rate_button)
    popover = page.controls.rate_popover
    popover.factor_line.setText("much less")
    assert not popover.apply_button.isEnabled()
    assert "fraction" in popover.result_text
    popover.hide()


@pytest.mark.parametrize(
    ("text", "factor"),
    [("0.3", 0.3), ("1/3", 1 / 3), ("× 2", 2.0), ("30 %", 0.3), ("0", None), ("-1", None),
     ("1/0", None), ("nan", None), ("1e9", None), ("", None)],
)  # fmt: skip
def test_a_factor_is_read_as_people_write_it(text, factor):
    assert read_factor(text) == (pytest.approx(factor) if factor is not None else None)


def test_a_refusal_is_told_in_plain_words(page, living, deck, qtbot):
    page.controls.free_action.trigger()
    refused = CommandAcknowledged(
        command="pause", accepted=False, detail="not_enough_memory",
        in_reply_to=sent(living)[0]["command_id"],
    )  # fmt: skip
    append(living, [refused])
    deck.bridge.tick()
    qtbot.waitUntil(lambda: any("too small" in t for t in deck.window.notice_bar.texts))
    assert page.controls.pause.main.isEnabled()


def test_nothing_can_be_asked_while_the_model_is_still_loading(page, deck, home):
    loading = [RunStarted(job="train"), PhaseChanged(phase="loading_model")]
    run = write_run(home, loading, alive=True)
    show(deck, run)
    controls = page.controls
    for button in (controls.rate_button, controls.pause.main, controls.save_button):
        assert not button.isEnabled()
    assert controls.stop.main.isEnabled()
    run.process_json.unlink()


def test_resume_needs_a_checkpoint(page, deck, home):
    stopped = RunFinished(outcome="stopped", reason="stop_requested")
    run = write_run(home, [*begun(), *Curves().range(1, 20), stopped])
    show(deck, run)
    assert not page.controls.resume_button.isVisible()
    (run.checkpoints / "step-000020").mkdir(parents=True)
    page.model.changed.emit()
    assert page.controls.resume_button.isVisible()


def test_the_rate_says_what_it_was_scaled_by(page, deck, home, qtbot):
    run = write_run(home, rolled_back(Curves()), alive=True)
    show(deck, run)
    plot = page.live.panel.plots["learning_rate"]
    qtbot.waitUntil(lambda: plot.header.unit == "× 1/6")
    run.process_json.unlink()


def test_the_header_speaks_chinese_at_once(page, living, deck, qtbot):
    deck.window.ctx.language.set_choice("zh_CN")
    qtbot.waitUntil(lambda: page.controls.rate_button.text() == "学习率")
    assert page.controls.drop_action.text() == "停止但不保存"
