import csv
import json
import math
import threading

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QScrollArea

from app.bridge import MachineSample
from app.pages.train import TrainPage
from app.pages.train_stats import epochs_text
from core.errors import ErrorInfo
from core.hardware import GpuSample
from core.metrics import Series
from core.protocol.events import (
    AlarmRaised,
    CommandAcknowledged,
    PhaseChanged,
    RunFinished,
    RunStarted,
    SampleGenerated,
    TrainPlanned,
)
from tests.gui.written_runs import append, begun, ended, step, usual, write_run


@pytest.fixture
def window(deck, qtbot):
    deck.window.resize(1360, 860)
    deck.window.show()
    return deck.window


@pytest.fixture
def page(window) -> TrainPage:
    window.navigate("train")
    shown = window.current_page
    assert isinstance(shown, TrainPage)
    return shown


def show(page, deck, run):
    """Open a run as the list of runs does, and read its events to the end."""
    page.ctx.navigate("train", run_id=run.run_id)
    catch_up(page, deck)


def catch_up(page, deck):
    for _ in range(500):
        deck.bridge.tick()
        if page.model.view.caught_up:
            return
    raise AssertionError("the events were never read to the end")


def click(button):
    assert button.isVisible()
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def stat(page, key):
    return page.live.strip.stats[key].value


def commands(run):
    return [json.loads(line)["kind"] for line in run.control.read_text().splitlines()]


# The form


def test_the_page_opens_with_a_form_that_is_ready_to_start(page):
    assert page.form.isVisible()
    assert not page.live.isVisible()
    assert page.form.what.model_box.currentData() == "deepdeck-starter"
    assert page.form.what.data_box.currentText() == "deepdeck-sample"
    assert page.form.check() is not None


def test_the_chosen_data_is_counted(page, qtbot):
    qtbot.waitUntil(lambda: "training" in page.form.what.data_facts.text())
    assert "accuracy" in page.form.what.data_facts.text()


def test_the_plan_is_told_before_anything_is_started(page, qtbot, home):
    page.form.how.amount_line.setText("40")
    qtbot.waitUntil(lambda: page.form.plan_card.plan is not None)
    qtbot.waitUntil(lambda: page.form.plan_card.plan.total_steps == 40)
    assert not home.runs.exists()


def test_every_wrong_field_is_marked_at_once_and_nothing_is_started(page, home):
    form = page.form
    form.advanced.fields["learning_rate"].setText("-1")
    form.advanced.fields["per_device_train_batch_size"].setText("many")
    form.advanced.fields["lora.r"].setText("0")
    form.how.amount_line.setText("0")
    click(form.start_button)
    assert form.rows["learning_rate"].error == "Must be above 0."
    assert form.rows["per_device_train_batch_size"].error == "Must be a whole number."
    assert form.rows["lora.r"].error == "Must be at least 1."
    assert form.rows["amount"].error == "Must be at least 1."
    assert form.advanced.isVisible()
    first = form.rows["amount"]
    assert not first.visibleRegion().isEmpty()
    assert not home.runs.exists()


def test_a_corrected_field_loses_its_error(page):
    form = page.form
    form.advanced.fields["lora.r"].setText("0")
    form.check()
    form.advanced.fields["lora.r"].setText("8")
    assert form.check().lora.r == 8
    assert form.rows["lora.r"].error == ""


def test_a_preset_fills_the_fields_and_every_one_can_be_changed(page):
    form = page.form
    form.choose_preset("guide-default")
    assert form.advanced.fields["learning_rate"].text() == "3e-05"
    assert form.advanced.fields["lora.target_modules"].text() == "q_proj, v_proj"
    form.advanced.fields["lora.target_modules"].setText("q_proj，o_proj")
    form.how.amount_box.setCurrentIndex(form.how.amount_box.findData("steps"))
    form.how.amount_line.setText("1,000")
    spec = form.check()
    assert spec.lora.target_modules == ("q_proj", "o_proj")
    assert spec.max_steps == 1000


def test_what_the_model_lacks_is_said_at_its_field(page, qtbot, home):
    page.form.advanced.fields["lora.target_modules"].setText("no_such_layer")
    click(page.form.start_button)
    qtbot.waitUntil(lambda: page.form.rows["lora.target_modules"].error != "")
    assert "no_such_layer" in page.form.rows["lora.target_modules"].error
    assert page.form.start_button.isEnabled()
    assert not home.runs.exists()


def test_the_window_stays_alive_while_the_data_is_checked(page, qtbot, home, monkeypatch):
    gate = threading.Event()
    service = page.ctx.services.train
    prepare = service.prepare
    monkeypatch.setattr(service, "prepare", lambda spec: (gate.wait(20), prepare(spec))[1])
    page.form.advanced.fields["lora.target_modules"].setText("no_such_layer")
    click(page.form.start_button)
    assert not page.form.start_button.isEnabled()
    assert "Checking" in page.facts_label.text()
    gate.set()
    qtbot.waitUntil(page.form.start_button.isEnabled)
    assert page.form.rows["lora.target_modules"].error != ""
    assert "Checking" not in page.facts_label.text()


def test_bad_data_is_said_at_its_field(page, qtbot, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": \n')
    page.form.choose_data(bad)
    qtbot.waitUntil(lambda: page.form.rows["data"].error != "")
    assert "bad.jsonl" in page.form.rows["data"].error


def test_questions_are_one_a_line(page):
    page.form.how.prompts.setPlainText("What is DNS?\n\n  什么是损失？ \n")
    assert page.form.check().sample_prompts == ("What is DNS?", "什么是损失？")


def test_every_field_has_a_name_and_a_help_for_screen_readers(page):
    for key, row in page.form.rows.items():
        assert row.field.accessibleName(), key
        assert row.field.accessibleDescription(), key


# A living run


@pytest.fixture
def living(page, deck, home):
    run = write_run(home, usual(), alive=True)
    show(page, deck, run)
    yield run
    run.process_json.unlink(missing_ok=True)


def test_a_living_run_shows_its_figures(page, living):
    assert page.live.isVisible()
    assert page.title_label.full_text == "law"
    assert "running" in page.chip.text()
    assert stat(page, "step") == "200 / 300"
    assert stat(page, "loss") == "1.01"
    assert stat(page, "eval_loss") == "1.50"
    assert stat(page, "speed") == "1,000 tok/s"
    assert page.live.strip.progress_bar.value() == 667


def test_what_remains_is_told_with_its_spread(page, living):
    assert stat(page, "remaining") == "52 s ± 1"


def test_four_plots_show_the_run(page, living, qtbot):
    plots = page.live.panel.plots
    qtbot.waitUntil(lambda: all(len(p.items[0].drawn.xs) for p in plots.values()))
    assert plots["loss"].title == "Loss"
    assert [line.name for line in plots["loss"].lines] == ["training", "eval accuracy"]
    assert [limit.text for limit in plots["grad_norm"].limits] == ["clip 1"]
    assert [limit.text for limit in plots["memory"].limits] == ["machine 8 GiB"]


def test_new_steps_reach_figures_and_plots(page, living, deck, qtbot):
    append(living, [step(i, loss=0.25) for i in range(201, 251)])
    deck.bridge.tick()
    assert stat(page, "step") == "250 / 300"
    assert stat(page, "loss") == "0.250"
    plot = page.live.panel.plots["loss"]
    qtbot.waitUntil(lambda: plot.items[0].drawn.xs.max() == 250)


def test_pause_asks_the_worker_and_waits_for_its_word(page, living, deck):
    click(page.controls.pause.main)
    assert commands(living) == ["pause"]
    assert not page.controls.pause.main.isEnabled()
    asked = json.loads(living.control.read_text())["command_id"]
    append(living, [CommandAcknowledged(command="pause", in_reply_to=asked)])
    deck.bridge.tick()
    assert "paused" in page.chip.text()
    assert page.controls.pause.main.text() == "Continue"
    click(page.controls.pause.main)
    assert commands(living) == ["pause", "continue"]


def test_save_now_asks_for_a_checkpoint(page, living):
    click(page.controls.save_button)
    assert commands(living) == ["save"]


def test_an_alarm_is_listed_and_a_click_jumps_to_its_step(page, living, deck):
    append(living, [AlarmRaised(alarm="loss_spike", step=150, value=9.0, threshold=2.0)])
    deck.bridge.tick()
    alarms = page.live.alarms
    assert [alarms.list.item(i).text() for i in range(alarms.list.count())] == [
        "Step 150: Loss spike",
        "Step 50: Not a finite number",
    ]
    place = alarms.list.visualItemRect(alarms.list.item(1)).center()
    QTest.mouseClick(alarms.list.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert page.live.panel.axis.view == pytest.approx((30, 70))
    assert page.live.panel.axis.hover == 50
    assert not page.live.panel.follow_button.isChecked()


def test_enter_in_the_list_of_alarms_jumps_too(page, living, deck):
    append(living, [AlarmRaised(alarm="loss_spike", step=150)])
    deck.bridge.tick()
    page.live.alarms.list.setFocus()
    QTest.keyClick(page.live.alarms.list, Qt.Key.Key_Return)
    assert page.live.panel.axis.hover == 150


def test_a_diverged_last_step_is_not_hidden_behind_an_older_value(page, living, deck):
    append(living, [step(201, loss=math.nan)])
    deck.bridge.tick()
    assert stat(page, "loss") == "NaN"


def test_the_phase_is_said_while_nothing_trains_yet(page, deck, home):
    run = write_run(home, [RunStarted(job="train"), PhaseChanged(phase="loading_model")],
                    alive=True)  # fmt: skip
    show(page, deck, run)
    assert "loading" in page.chip.text()
    assert not page.controls.pause.main.isEnabled()
    assert stat(page, "remaining") == "–"


def test_without_a_card_the_reason_is_given_in_plain_words(page, living, deck):
    deck.bridge.machine_sampled.emit(MachineSample(gpu_reason="gpu.no_library"))
    page.live.refresh()
    assert page.live.panel.plots["memory"].title == "Memory of the run"
    assert page.live._note.text() == (
        "No NVIDIA driver is installed here, so work is done on the CPU. "
        "The plot shows the memory of the training process."
    )


def test_with_a_card_its_memory_and_its_limit_are_plotted(page, living, deck):
    card = GpuSample(0, "RTX 4090", memory_used_gib=17.5, memory_total_gib=24.0)
    deck.bridge.machine_sampled.emit(MachineSample(gpus=(card,)))
    plot = page.live.panel.plots["memory"]
    assert plot.title == "GPU memory"
    assert [line.name for line in plot.lines] == ["card", "this run"]
    assert [limit.text for limit in plot.limits] == ["card 24 GiB"]
    assert isinstance(plot.lines[0].series, Series)
    assert plot.lines[0].series.last == (200, 17.5)


def test_an_old_run_of_a_card_keeps_its_own_memory_curve(page, deck, home):
    plan = TrainPlanned(total_steps=10, memory_source="cuda", memory_limit_gib=24.0)
    run = write_run(home, [RunStarted(), plan, step(1), RunFinished()])
    show(page, deck, run)
    assert page.live.panel.plots["memory"].title == "GPU memory"
    assert [i.text for i in page.live.panel.plots["memory"].limits] == ["card 24 GiB"]


# After


def test_a_finished_run_says_what_came_of_it_and_what_to_do_next(page, deck, home):
    run = write_run(home, [*usual(), *ended()], adapter=True)
    show(page, deck, run)
    result = page.live.result
    assert result.isVisible()
    assert result.title_label.text() == "Training is done"
    assert "Eval loss 3.50 → 1.50" in result._loss.text()
    assert result.buttons["deploy"].isVisible()
    assert not page.controls.stop.main.isVisible()
    assert page.new_button.isVisible()
    answers = page.live.samples
    assert answers.isVisible()


def test_deploy_leads_to_the_page_with_this_adapter(page, deck, home, qtbot):
    run = write_run(home, [*usual(), *ended()], adapter=True)
    show(page, deck, run)
    click(page.live.result.buttons["deploy"])
    assert deck.window._current == "deploy"


def test_a_failed_run_shows_why_what_to_do_and_the_code(page, deck, home):
    error = ErrorInfo(code="train.out_of_memory", params={"needed_gib": 9, "free_gib": 2})
    run = write_run(home, [*usual(), RunFinished(outcome="failed", reason="error", error=error)])
    show(page, deck, run)
    assert page.error_card.isVisible()
    assert page.error_card.error == error
    assert "failed" in page.chip.text()


def test_a_dismissed_error_stays_dismissed(page, deck, home):
    error = ErrorInfo(code="train.out_of_memory")
    run = write_run(home, [*usual(), RunFinished(outcome="failed", reason="error", error=error)])
    show(page, deck, run)
    click(page.error_card.close_button)
    page.model.changed.emit()
    assert not page.error_card.isVisible()


def test_resume_is_offered_only_where_a_checkpoint_is(page, deck, home):
    stopped = [*usual(), RunFinished(outcome="stopped", reason="stop_requested")]
    run = write_run(home, stopped)
    show(page, deck, run)
    assert not page.controls.resume_button.isVisible()
    assert page.new_button.isVisible()


def test_all_data_is_exported_and_not_only_what_the_plot_shows(page, deck, home, qtbot):
    run = write_run(home, [*begun(5000), *(step(i) for i in range(1, 5001)), *ended(step=5000)])
    show(page, deck, run)
    page.live.export_requested.emit("csv", None)
    path = run.exports / f"{run.run_id}-steps.csv"
    qtbot.waitUntil(path.exists)
    with path.open(newline="") as f:
        assert len(list(csv.DictReader(f))) == 5000


def test_a_picture_of_one_plot_lands_in_the_run_folder(page, deck, home, qtbot):
    run = write_run(home, [*usual(), *ended()])
    show(page, deck, run)
    page.live.export_requested.emit("png", page.live.panel.plots["loss"])
    assert (run.exports / "loss.png").stat().st_size > 1000


def test_a_window_that_opens_later_finds_the_living_run(deck, home, window):
    run = write_run(home, usual(), alive=True)
    window.navigate("train")
    assert window.current_page.model.run_id == run.run_id
    run.process_json.unlink()


def test_another_run_replaces_the_curves_of_the_first(page, deck, home, qtbot):
    show(page, deck, write_run(home, [*usual(), *ended()]))
    other = [*begun(40), *(step(i, loss=7.0) for i in range(1, 41)), *ended(step=40)]
    show(page, deck, write_run(home, other, "20261123-120000-train-law-0002"))
    plot = page.live.panel.plots["loss"]
    qtbot.waitUntil(lambda: len(plot.items[0].drawn.xs) == 40)
    assert page.live.panel.axis.view[1] < 60
    assert stat(page, "step") == "40 / 40"


def test_an_unknown_run_is_an_error_card_and_no_crash(page, deck):
    page.ctx.navigate("train", run_id="20200101-000000-train-none-0000")
    assert page.error_card.error.code == "run.not_found"


def test_the_page_speaks_chinese_without_a_restart(page, living, deck, qtbot):
    deck.window.ctx.language.set_choice("zh_CN")
    qtbot.waitUntil(lambda: page.live.panel.plots["loss"].title == "损失")
    qtbot.waitUntil(lambda: page.controls.save_button.text() == "立即保存")
    assert page.live.panel.plots["loss"].lines[0].name == "训练"
    qtbot.waitUntil(lambda: page.form.rows["model"].label.text() == "模型(&M)")


def test_long_answers_push_no_plot_out_of_view(page, deck, home, qtbot):
    said = [SampleGenerated(step=s, prompt=f"question {n}", answer="so many words " * 30)
            for s in (0, 200) for n in range(4)]  # fmt: skip
    show(page, deck, write_run(home, [*usual(), *said, *ended()], adapter=True))
    qtbot.waitUntil(lambda: page.live.samples.height() > 600)
    for plot in page.live.panel.plots.values():
        assert not plot.visibleRegion().isEmpty()
        assert plot.visibleRegion().boundingRect() == plot.rect()


def test_on_a_narrow_window_the_answers_scroll_with_the_page(page, deck, home, window, qtbot):
    show(page, deck, write_run(home, [*usual(), *ended()], adapter=True))
    side = page.live.samples
    for width in (1024, 1360, 1024):
        window.resize(width, 700)
        qtbot.waitUntil(lambda w=width: page.live._side_scroll.isHidden() == (w == 1024))
        assert side.isVisible()
    assert page.live.panel.width() == page.live.width()


@pytest.mark.parametrize(
    ("done", "planned", "text"),
    [(0.0104, 0.0104, "0.0104 / 0.0104"), (0.5, 1.34, "0.50 / 1.34"), (7.0, 12.0, "7.0 / 12.0")],
)
def test_done_and_planned_epochs_have_the_same_digits(done, planned, text):
    assert epochs_text(done, planned) == text


@pytest.mark.parametrize("size", [(1024, 700), (1360, 860)])
def test_the_page_fits_the_window_in_width(page, living, window, size, qtbot):
    window.resize(*size)
    scroll = page.findChild(QScrollArea, "PageScroll")
    qtbot.waitUntil(lambda: scroll.widget().width() <= scroll.viewport().width())
    assert scroll.widget().minimumSizeHint().width() <= scroll.viewport().width()


@pytest.mark.parametrize(("looks_at", "notices"), [("train", 0), ("overview", 1)])
def test_the_end_of_a_run_is_news_only_on_other_pages(window, deck, qtbot, home, looks_at, notices):
    run = write_run(home, usual(), alive=True)
    window.navigate("train", run_id=run.run_id)
    catch_up(window.current_page, deck)
    window.navigate(looks_at)
    append(run, ended())
    supervisor = deck.window.ctx.services.supervisor
    qtbot.waitUntil(lambda: (deck.bridge.tick(), supervisor.view(run.run_id).finished)[1])
    QTest.qWait(50)  # Qt shows a new child of a visible widget in the next round of events
    assert len([t for t in window.notice_bar.texts if "completed" in t]) == notices
