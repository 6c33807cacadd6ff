import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.viewmodels.train_alarms import scale_text, suspects
from core.protocol.events import AlarmRaised, CommandAcknowledged, SamplesExcluded
from core.runlog.evidence import EvidenceSample
from tests.gui.live_helpers import click, sent
from tests.gui.live_helpers import show as show_run
from tests.gui.scenes import Curves, begun, paused_by_guard, rolled_back, with_evidence
from tests.gui.written_runs import append, write_run


@pytest.fixture
def page(deck, qtbot):
    deck.window.resize(1280, 800)
    deck.window.show()
    deck.window.navigate("train")
    return deck.window.current_page


@pytest.fixture
def show(page, deck, home):
    """Write a living run of these events and open it."""
    made = []

    def open_run(events):
        made.append(with_evidence(write_run(home, events, alive=True)))
        show_run(deck, made[-1])
        return made[-1]

    yield open_run
    for run in made:
        run.process_json.unlink(missing_ok=True)


@pytest.fixture
def paused(show):
    return show(paused_by_guard(Curves()))


@pytest.fixture
def opened(page, paused, qtbot):
    """The alarm that paused the run, with its batch."""
    click(page.live.ask.see_button)
    qtbot.waitUntil(lambda: page.live.alarm_view.batch.has_batch)
    return page.live.alarm_view


def kinds(run):
    return [command["kind"] for command in sent(run)]


def test_a_run_that_the_guard_paused_asks_at_the_top(page, paused):
    ask = page.live.ask
    assert ask.isVisible()
    assert "Paused at step 262" in ask.accessibleName()
    assert ask.answers["roll_back"].text() == "Roll back to step 225"
    assert "paused" in page.chip.text()


def test_a_run_that_somebody_paused_asks_nothing(page, show):
    show([*begun(), *Curves().range(1, 20), CommandAcknowledged(command="pause")])
    assert page.model.paused
    assert not page.live.ask.isVisible()


@pytest.mark.parametrize(
    ("answer", "commands"),
    [
        ("roll_back", ["roll_back", "continue"]),
        ("lower_rate", ["set_learning_rate", "continue"]),
        ("continue", ["continue"]),
        ("stop", ["stop"]),
    ],
)
def test_each_answer_is_one_click(page, paused, answer, commands):
    click(page.live.ask.answers[answer])
    assert kinds(paused) == commands


def test_a_third_of_the_rate_is_a_third_of_the_rate_now(page, show):
    run = show([*rolled_back(Curves()), AlarmRaised(alarm="diverging", step=420, action="pause")])
    click(page.live.ask.answers["lower_rate"])
    assert sent(run)[0]["lr_scale"] == pytest.approx(1 / 18)


def test_without_a_healthy_state_no_rollback_is_offered(page, show):
    asked = AlarmRaised(alarm="diverging", step=20, action="pause", reason="no_snapshot")
    show([*begun(), *Curves().range(1, 20), asked])
    assert page.live.ask.isVisible()
    assert not page.live.ask.answers["roll_back"].isVisible()
    assert "no healthy state" in page.live.alarms._newest.accessibleDescription()


def test_the_card_goes_when_the_run_goes_on(page, paused, deck):
    append(paused, [CommandAcknowledged(command="continue"), *Curves().range(263, 265)])
    deck.bridge.tick()
    assert not page.live.ask.isVisible()


def test_the_batch_shows_the_worst_sample_first_with_what_is_learned(opened):
    table = opened.batch.table
    shown = [table.model().index(0, column).data() for column in range(4)]
    assert shown == ["412", "train.jsonl:413", "1,904 (952)", "NaN"]
    assert opened.batch.text.toPlainText().startswith("<|User|></td>")
    assert opened.batch.text.trained_text.startswith("&nbsp;")
    assert "<|User|>" not in opened.batch.text.trained_text


def test_another_row_shows_another_sample(opened):
    opened.batch.table.selectRow(3)
    assert "上诉" in opened.batch.text.toPlainText()


def test_text_of_the_data_is_never_markup(opened):
    assert "&nbsp;" in opened.batch.text.toPlainText()
    assert "</td></tr>" in opened.batch.text.toPlainText()


def test_samples_that_stand_out_are_chosen_and_can_be_excluded_at_once(opened, paused):
    assert opened.batch.table.checked == [412, 8051]
    button = opened.buttons["exclude"]
    assert button.text() == "Exclude 2 samples and continue"
    click(button)
    assert kinds(paused) == ["exclude"]
    assert sent(paused)[0]["samples"] == [412, 8051]


def test_the_button_counts_what_is_checked(opened):
    table = opened.batch.table
    table.check(1, on=False)
    assert opened.buttons["exclude"].text() == "Exclude 1 sample and continue"
    table.check(0, on=False)
    assert not opened.buttons["exclude"].isEnabled()


def test_an_excluded_sample_cannot_be_chosen_again(opened, paused, deck):
    append(paused, [SamplesExcluded(step=262, samples=[412])])
    deck.bridge.tick()
    first = opened.batch.table.model().index(0, 0)
    assert first.data() == "412, excluded"
    assert not first.flags() & Qt.ItemFlag.ItemIsUserCheckable
    assert opened.batch.table.checked == [8051]


def test_buttons_wait_for_the_answer_of_the_worker(opened, paused, deck):
    click(opened.buttons["continue"])
    assert not any(b.isEnabled() for b in opened.buttons.values())
    answer = CommandAcknowledged(command="continue", in_reply_to=sent(paused)[0]["command_id"])
    append(paused, [answer])
    deck.bridge.tick()
    assert opened.buttons["stop"].isEnabled()


def test_a_wish_that_the_run_refuses_is_told(page, opened, paused, deck, qtbot):
    click(opened.buttons["roll_back"])
    refused = CommandAcknowledged(
        command="roll_back", accepted=False, detail="no healthy state",
        in_reply_to=sent(paused)[0]["command_id"],
    )  # fmt: skip
    append(paused, [refused])
    deck.bridge.tick()
    qtbot.waitUntil(lambda: any("no healthy state" in t for t in deck.window.notice_bar.texts))


def test_an_alarm_without_a_batch_says_so(page, show, qtbot):
    show([*begun(), AlarmRaised(alarm="throughput_drop", step=3, action="notify")])
    page.live.open_alarm(0)
    view = page.live.alarm_view
    assert not view.batch.has_batch
    assert not view.buttons["exclude"].isVisible()
    assert "No batch was kept" in view.batch._missing.text()


def test_a_lost_batch_file_is_no_crash(page, show, qtbot):
    gone = AlarmRaised(alarm="diverging", step=3, evidence="alarms/gone.json")
    show([*begun(), gone])
    page.live.open_alarm(0)
    view = page.live.alarm_view
    qtbot.waitUntil(lambda: "No batch was kept" in view.batch._missing.text())


def test_what_a_rollback_did_is_told_with_its_alarm(page, show, qtbot):
    show(rolled_back(Curves()))
    page.live.open_alarm(0)
    said = page.live.alarm_view.story.done.text()
    assert "Rolled back to step 225" in said
    assert "× 1/3" in said
    assert "592 samples" in said
    assert "Attempt 1 of 3" in said


def test_a_finished_run_keeps_its_alarms_but_offers_nothing(page, show, deck, qtbot):
    from core.protocol.events import RunFinished

    run = show([*rolled_back(Curves()), RunFinished(outcome="completed")])
    run.process_json.unlink()
    page.live.open_alarm(0)
    qtbot.waitUntil(lambda: page.live.alarm_view.batch.has_batch)
    assert not any(b.isVisible() for b in page.live.alarm_view.buttons.values())


def test_the_plots_come_back_where_the_alarm_was(page, opened):
    click(opened.show_button)
    assert page.live.panel.isVisible()
    assert page.live.panel.axis.hover == 262


def test_the_alarm_view_speaks_chinese_at_once(page, opened, deck, qtbot):
    deck.window.ctx.language.set_choice("zh_CN")
    qtbot.waitUntil(lambda: opened.back_button.text() == "返回曲线")
    assert opened.buttons["exclude"].text() == "排除 2 条样本并继续"


@pytest.mark.parametrize(
    ("losses", "out"),
    [
        ([9.0, 1.0, 1.1, 0.9, 1.0], [0]),
        ([1.0, 1.1, 0.9, 1.0], []),
        ([9.0, 9.1, 1.0, 1.0, 9.0, 9.0, 1.0], []),
        ([float("nan"), 1.0], [0]),
        ([], []),
    ],
)
def test_only_few_that_stand_out_are_suspects(losses, out):
    samples = [EvidenceSample(sample=n, loss=loss) for n, loss in enumerate(losses)]
    assert suspects(samples) == out


@pytest.mark.parametrize(
    ("scale", "text"), [(1 / 3, "1/3"), (1 / 9, "1/9"), (1.0, "1"), (2.0, "2"), (0.4, "0.4")]
)
def test_a_factor_of_the_rate_is_told_as_a_fraction(scale, text):
    assert scale_text(scale) == text


def test_an_alarm_that_was_rolled_back_offers_no_second_rollback(page, show, qtbot):
    show(rolled_back(Curves()))
    page.live.open_alarm(0)
    view = page.live.alarm_view
    qtbot.waitUntil(lambda: view.batch.has_batch)
    assert not view.buttons["roll_back"].isVisible()
    page.live.open_alarm(1)
    assert view.buttons["roll_back"].text() == "Roll back"


def test_escape_leads_back_to_the_plots(page, opened):
    QTest.keyClick(opened.list, Qt.Key.Key_Escape)
    assert page.live.panel.isVisible()
    assert not opened.isVisible()


def test_another_run_closes_the_alarms_of_the_first(page, opened, deck, home):
    other = write_run(home, [*begun(), *Curves().range(1, 5)], "20261123-120000-train-law-0002")
    show_run(deck, other)
    assert page.live.panel.isVisible()
    assert not page.live.ask.isVisible()
