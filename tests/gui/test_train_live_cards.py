import os
import shutil
import subprocess
import sys

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel

from app.bridge import MachineSample
from app.viewmodels.train_speed import efficiency
from core.errors import ErrorInfo
from core.hardware import GpuSample
from core.paths import STARTER_MODEL
from core.protocol.events import (
    ArtifactSaved,
    Finding,
    LadderRung,
    MemoryRanOut,
    RolledBack,
    RunFinished,
    RunStarted,
    SampleGenerated,
    TrainPlanned,
)
from tests.gui.live_helpers import click, show
from tests.gui.scenes import TOTAL, Curves, begun, rolled_back, with_evidence
from tests.gui.written_runs import append, step, usual, write_run

LADDER = [
    LadderRung(code="gradient_checkpointing", changes={"gradient_checkpointing": "selective"},
               saves_gib=5.2, slower=1.12),
    LadderRung(code="smaller_micro_batch", changes={"per_device_train_batch_size": 2},
               saves_gib=4.4, slower=1.05),
    LadderRung(code="more_gpus", saves_gib=8.0),
]  # fmt: skip
RAN_OUT = MemoryRanOut(
    step=41, needed_gib=2.0, allocated_gib=22.9, reserved_gib=23.4, limit_gib=24.0,
    longest_tokens=2048, parts_gib={"weights": 5.6, "activations": 14.2, "logits": 2.9},
    ladder=LADDER,
)  # fmt: skip
FAILED = RunFinished(outcome="failed", reason="error", error=ErrorInfo(code="train.out_of_memory"))


@pytest.fixture
def page(deck, qtbot):
    deck.window.resize(1280, 800)
    deck.window.show()
    deck.window.navigate("train")
    return deck.window.current_page


@pytest.fixture
def living(page, deck, home):
    run = with_evidence(write_run(home, rolled_back(Curves()), alive=True))
    show(deck, run)
    yield run
    run.process_json.unlink(missing_ok=True)


# Plots


def test_what_a_rollback_left_is_drawn_faintly_and_the_curve_breaks(page, living, qtbot):
    item = page.live.panel.plots["loss"].items[0]
    qtbot.waitUntil(lambda: len(item.left_drawn.xs) > 0)
    assert item.left_drawn.xs.min() >= 225
    assert item.left_drawn.xs.max() == 262
    assert item.left_drawn.ys.max() > 2.0
    assert item.drawn.ys[item.drawn.xs > 230].max() < 2.0


def test_the_left_branch_is_seen_but_does_not_press_the_curve_flat(page, deck, home, qtbot):
    wild = [*begun(), *Curves().range(1, 60)]
    wild += [step(61, loss=9e4), RolledBack(step=61, to_step=40, lr_scale=1 / 3)]
    run = write_run(home, [*wild, *Curves().range(41, 80)], alive=True)
    show(deck, run)
    plot = page.live.panel.plots["loss"]
    qtbot.waitUntil(lambda: len(plot.items[0].left_drawn.xs) > 0)
    assert plot.view.y_view[1] < 20
    run.process_json.unlink()


def test_marks_are_told_where_the_pointer_is(page, living, qtbot):
    plot = page.live.panel.plots["loss"]
    qtbot.waitUntil(lambda: len(plot.items[0].left_drawn.xs) > 0)
    point_at(plot, 262)
    told = [text for text, _ in plot._painter.crosshair_notes]
    assert told == ["Training is diverging", "Rolled back from step 262 to step 225"]
    point_at(plot, 400)
    assert [t for t, _ in plot._painter.crosshair_notes] == ["Best checkpoint so far"]


def point_at(plot, at_step):
    place = QPoint(round(plot.view.x_pixel(at_step)), round(plot.view.area.center().y()))
    QTest.mouseMove(plot.view.viewport(), place)


def test_alarms_are_marked_by_their_gravity(page, living, qtbot):
    plot = page.live.panel.plots["loss"]
    qtbot.waitUntil(lambda: len(plot._painter._placed.alarms) == 2)
    assert set(plot._painter._placed.alarm_roles) == {"error", "muted"}
    assert len(plot._painter._placed.best) == 1
    assert len(plot._painter._placed.backs) == 1


def test_a_change_of_the_rate_by_hand_is_marked_on_its_plot_only(page, living, qtbot):
    plots = page.live.panel.plots
    qtbot.waitUntil(lambda: len(plots["learning_rate"]._painter._placed.rates) == 1)
    assert not plots["loss"]._painter._placed.rates


def test_plots_behind_an_open_alarm_are_not_drawn(page, living, deck, qtbot):
    scheduler = page.live.panel.scheduler
    qtbot.waitUntil(lambda: not any(map(scheduler.pending, page.live.panel.plots.values())))
    page.live.open_alarm(0)
    drawn = scheduler.drawings
    for i in range(421, 441):
        append(living, [Curves().step(i)])
        deck.bridge.tick()
        qtbot.wait(2)
    assert scheduler.drawings == drawn
    page.live.close_alarms()
    qtbot.waitUntil(lambda: page.live.panel.plots["loss"].items[0].drawn.xs[-1] == 440)


def test_one_new_step_draws_each_plot_once(page, living, deck, qtbot):
    scheduler = page.live.panel.scheduler
    plots = page.live.panel.plots.values()
    qtbot.waitUntil(lambda: not any(map(scheduler.pending, plots)))
    qtbot.wait(150)
    before = scheduler.drawings
    append(living, [Curves().step(421)])
    deck.bridge.tick()
    qtbot.waitUntil(lambda: not any(map(scheduler.pending, plots)))
    qtbot.wait(150)
    assert scheduler.drawings - before == len(plots)


# Figures


def test_efficiency_is_told_against_the_measured_card(page, living):
    assert page.live.strip.stats["mfu"].value == "38 %"
    assert "500 TFLOPS" in page.live.strip.stats["mfu"].toolTip()
    assert page.live.strip.stats["tokens"].value == "11,500"


def test_without_a_measured_card_there_is_no_efficiency(page, deck, home):
    show(deck, write_run(home, usual()))
    assert not page.live.strip.stats["mfu"].isVisible()


def test_efficiency_counts_every_card():
    plan = TrainPlanned(flops_per_token=1e9, matmul_peak_flops=1e12, world_size=2)
    assert efficiency(plan, 1000.0) == pytest.approx(0.5)
    assert efficiency(TrainPlanned(), 1000.0) is None


def test_method_guard_and_card_stand_under_the_name(page, living):
    facts = page.facts_label.full_text
    assert "QLoRA r16" in facts
    assert "when it goes wrong: tell me" in facts


# Memory


def test_memory_is_told_by_part_against_the_forecast(page, living):
    card = page.live.memory
    assert ("weights (4-bit)", "5.6 GiB") in card.parts.texts
    assert card._against.text() == "forecast 16.8, measured 17.8 GiB (+6 %)"


def test_other_programs_on_the_card_are_named(page, living, deck):
    own = {page.model.view.pid: 17.8, os.getppid(): 1.4}
    gpu = GpuSample(0, "RTX 4090", memory_used_gib=20.0, memory_total_gib=24.0,
                    process_memory_gib=own)  # fmt: skip
    deck.bridge.machine_sampled.emit(MachineSample(gpus=(gpu,)))
    assert "holds 1.4 GiB" in page.live.memory._others.text()
    assert not page.live.memory._spill.isVisible()


def test_a_spill_into_the_computers_memory_is_said(page, living, deck):
    gpu = GpuSample(0, "RTX 4090", memory_used_gib=24.0, memory_total_gib=24.0,
                    process_memory_gib={page.model.view.pid: 27.0})  # fmt: skip
    deck.bridge.machine_sampled.emit(MachineSample(gpus=(gpu,)))
    assert "much slower" in page.live.memory._spill.text()


def test_the_runs_own_processes_are_no_other_programs(page, living, deck):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        held = {page.model.view.pid: 9.0, child.pid: 9.0}
        gpu = GpuSample(0, "RTX 4090", memory_used_gib=18.0, memory_total_gib=24.0,
                        process_memory_gib=held)  # fmt: skip
        deck.bridge.machine_sampled.emit(MachineSample(gpus=(gpu,)))
        assert page.live.memory._others.text() == ""
    finally:
        child.communicate(b"\n")


def test_notes_of_the_plan_are_told(page, deck, home):
    plan = begun()[1].model_copy(update={"notes": [Finding(code="packed_by_positions")]})
    show(deck, write_run(home, [RunStarted(job="train"), plan, *Curves().range(1, 3)]))
    assert page.live.notes.isVisible()
    assert page.live.notes.text.text().startswith("• ")
    assert "packed_by_positions" not in page.live.notes.text.text()


def test_the_try_out_is_told(page, living):
    assert page.live.dry_run.facts == [
        ("Peak memory", "17.4 of 24.0 GiB"),
        ("A step", "1.9 s"),
        ("The whole run", "19:00"),
        ("Energy", "0.11 kWh"),
        ("A checkpoint", "85.8 MiB"),
    ]


def test_a_run_without_memory_offers_its_ladder_and_goes_on(page, deck, home, monkeypatch):
    run = write_run(home, [*begun(), *Curves().range(1, 41), RAN_OUT, FAILED])
    show(deck, run)
    card = page.live.out_of_memory
    assert card.isVisible()
    assert ("activations", "14.2 GiB") in card.parts.texts
    assert not page.error_card.isVisible()
    assert [b.isEnabled() for b in card.rungs] == [True, True, False]
    asked = []
    service = page.ctx.services.train
    monkeypatch.setattr(service, "resume", lambda *a: (asked.append(a), page.model.view)[1])
    card.rungs[1].setChecked(True)
    click(card.apply_button)
    assert asked == [(run.run_id, {"per_device_train_batch_size": 2})]


def test_a_measure_that_would_make_another_run_of_it_is_told_and_not_offered(page, deck, home):
    """A resume refuses other rows: the learning would not be the same."""
    shorter = LadderRung(code="packing_length", changes={"seq_len": 1024}, saves_gib=3.0)
    ran_out = RAN_OUT.model_copy(update={"ladder": [shorter, *RAN_OUT.ladder]})
    show(deck, write_run(home, [*begun(), *Curves().range(1, 41), ran_out, FAILED]))
    card = page.live.out_of_memory
    assert [b.isEnabled() for b in card.rungs] == [False, True, True, False]
    assert card.rungs[1].isChecked()


def test_a_run_that_helped_itself_only_tells_it(page, deck, home):
    helped = RAN_OUT.model_copy(update={"applied": "gradient_checkpointing"})
    run = write_run(home, [*begun(), *Curves().range(1, 41), helped, *Curves().range(42, 60)],
                    alive=True)  # fmt: skip
    show(deck, run)
    assert not page.live.out_of_memory.isVisible()
    card = page.live.helped_itself
    assert card.isVisible()
    assert "at step 41; the run went on with:" in card.text.text()
    run.process_json.unlink()


# Answers


def test_the_slider_keeps_the_base_answer_beside_that_of_each_step(page, living, qtbot):
    card = page.live.samples
    assert card.title_label.text() == "Answers at step 400"
    assert card.slider.maximum() == 4
    card.slider.setValue(1)
    assert card.title_label.text() == "Answers at step 100"
    qtbot.waitUntil(lambda: "if its terms can be shown" in texts(card))
    assert "A verbal contract is a contract" in texts(card)
    card.slider.setValue(0)
    assert card.title_label.text() == "Answers before training"


def test_a_slider_that_was_moved_back_stays_when_new_answers_come(page, living, deck):
    card = page.live.samples
    card.slider.setValue(1)
    append(living, [SampleGenerated(step=420, prompt="Can a verbal contract be enforced?")])
    deck.bridge.tick()
    assert card.step == 100
    card.slider.setValue(card.slider.maximum())
    append(living, [SampleGenerated(step=440, prompt="Can a verbal contract be enforced?")])
    deck.bridge.tick()
    assert card.step == 440


def texts(card):
    return "\n".join(shown.text() for shown in card.findChildren(QLabel) if not shown.isHidden())


# The end


def test_an_overfit_run_points_to_the_better_checkpoint(page, deck, home):
    done = RunFinished(outcome="completed", reason="completed")
    show(deck, write_run(home, [*rolled_back(Curves(), TOTAL), done], adapter=True))
    hint = page.live.result._hint.text()
    assert "lowest at step 400" in hint
    assert "checkpoint of step 400 is kept" in hint


def test_a_run_that_only_got_better_gets_no_advice(page, deck, home):
    done = RunFinished(outcome="completed", reason="completed")
    show(deck, write_run(home, [*rolled_back(Curves(), 420), done], adapter=True))
    assert page.live.result._hint.text() == ""


def test_a_result_can_be_exported_and_the_wishes_reach_the_service(page, deck, home, monkeypatch):
    done = RunFinished(outcome="completed", reason="completed")
    run = write_run(home, [*rolled_back(Curves(), TOTAL), done], adapter=True)
    best = run.checkpoints / "step-000400"
    best.mkdir(parents=True)
    (best / "adapter_config.json").write_text("{}")
    show(deck, run)
    click(page.live.result.buttons["merge"])
    dialog = page.export_dialog
    assert dialog.spec.source == run.run_id
    assert dialog.spec.kind == "merged"
    dialog.state_box.setCurrentIndex(1)
    dialog.into_box.setCurrentIndex(1)
    assert dialog.spec.source == str(best)
    assert dialog.spec.merge_into == "dequantized"
    dialog.kind_buttons["adapter"].setChecked(True)
    assert dialog.spec.kind == "adapter"
    assert not dialog.into_box.isVisible()
    dialog.reject()


def test_an_export_that_cannot_start_says_why_in_the_dialog(page, deck, home):
    done = RunFinished(outcome="completed", reason="completed")
    show(deck, write_run(home, [*rolled_back(Curves(), TOTAL), done], adapter=True))
    click(page.live.result.buttons["merge"])
    dialog = page.export_dialog
    click(dialog.start_button)
    assert dialog.error_card.isVisible()
    assert dialog.start_button.isEnabled()
    dialog.reject()


def test_a_whole_model_that_was_trained_can_be_deployed(page, deck, home):
    done = RunFinished(outcome="completed", reason="completed")
    saved = ArtifactSaved(artifact="model", path="model")
    run = write_run(home, [*begun(), *Curves().range(1, 20), saved, done])
    shutil.copytree(STARTER_MODEL, run.model)
    show(deck, run)
    button = page.live.result.buttons["deploy"]
    assert button.text() == "Deploy this model"
    for _ in range(2):  # the second time it is in the list already
        show(deck, run)
        click(button)
        assert deck.window._current == "deploy"
    assert [m.path for m in page.ctx.services.models.list() if m.source == "user"] == [run.model]
