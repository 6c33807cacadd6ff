import os

import pytest
from PySide6.QtCore import QItemSelectionModel, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMessageBox, QScrollArea

from app.models.run_table import COLUMNS
from app.pages.runs import RunsPage
from core import atomic_io
from core.config.serve import ServeSpec
from core.protocol.events import RunFinished
from core.runlog.run_dir import RunDir
from core.services.documents import run_document
from core.supervisor.identity import ProcessIdentity
from tests.gui.written_runs import append, begun, ended, step, usual, write_run


@pytest.fixture
def three(home):
    """A completed run, a stopped one with a checkpoint, and a failed one, oldest first."""
    done = write_run(home, [*usual(300), *ended(step=300)], "20261101-000000-train-a-0001",
                     "careful", created_utc=1.0, adapter=True)  # fmt: skip
    stopped = write_run(home, [*usual(), RunFinished(outcome="stopped", reason="stop_requested")],
                        "20261102-000000-train-b-0002", "fast", created_utc=2.0)  # fmt: skip
    failed = write_run(home, [*begun(), *(step(i) for i in range(1, 41)),
                              RunFinished(outcome="failed", reason="error")],
                       "20261103-000000-train-c-0003", "wide", created_utc=3.0)  # fmt: skip
    return done, stopped, failed


@pytest.fixture
def page(deck, qtbot, three) -> RunsPage:
    deck.window.resize(1360, 860)
    deck.window.show()
    deck.window.navigate("runs")
    shown = deck.window.current_page
    assert isinstance(shown, RunsPage)
    qtbot.waitUntil(lambda: shown.filter.rowCount() == 3)
    return shown


def names(page):
    column = COLUMNS.index("name")
    return [page.filter.index(r, column).data() for r in range(page.filter.rowCount())]


def choose(page, *chosen):
    selection = page.table.selectionModel()
    selection.clearSelection()
    flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
    for row, name in enumerate(names(page)):
        if name in chosen:
            selection.select(page.filter.index(row, 0), flags)


def read_all(page, deck):
    for _ in range(200):
        deck.bridge.tick()
        if all(v.caught_up for v in page.compare_model.views.values()):
            return


def click(button):
    assert button.isVisible()
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def test_all_runs_are_listed_newest_first(page):
    assert names(page) == ["wide", "fast", "careful"]
    row = [page.filter.index(2, c).data() for c in range(len(COLUMNS))]
    assert row[0] == "● completed"
    assert row[COLUMNS.index("steps")] == "300 / 300"
    assert row[COLUMNS.index("model")] == "starter"


def test_the_state_is_told_by_a_mark_and_a_word_and_not_by_color_alone(page):
    assert [page.filter.index(r, 0).data() for r in range(3)] == [
        "■ failed", "○ stopped", "● completed",
    ]  # fmt: skip


def test_typing_finds_runs_by_all_words_in_any_order(page):
    QTest.keyClicks(page.search_line, "law FAST")
    assert names(page) == ["fast"]
    assert "1 of 3 runs" in page.facts_label.full_text
    page.search_line.clear()
    assert len(names(page)) == 3


def test_a_kind_of_run_can_be_chosen(page):
    page.job_box.setCurrentIndex(page.job_box.findData("serve"))
    assert names(page) == []
    page.job_box.setCurrentIndex(page.job_box.findData("train"))
    assert len(names(page)) == 3


def test_a_click_on_a_title_sorts(page):
    page.table.sortByColumn(COLUMNS.index("steps"), Qt.SortOrder.AscendingOrder)
    assert names(page) == ["wide", "fast", "careful"]
    page.table.sortByColumn(COLUMNS.index("steps"), Qt.SortOrder.DescendingOrder)
    assert names(page) == ["careful", "fast", "wide"]


def test_several_runs_are_overlaid_each_in_its_own_color(page, deck, qtbot):
    choose(page, "careful", "fast", "wide")
    read_all(page, deck)
    lines = page.compare.plot.lines
    assert [line.name for line in lines] == ["careful", "fast", "wide"]
    assert len({line.role for line in lines}) == 3
    qtbot.waitUntil(lambda: all(len(i.drawn.xs) for i in page.compare.plot.items))


def test_a_run_keeps_its_color_whatever_else_is_chosen(page, deck):
    choose(page, "careful", "fast")
    before = {line.name: line.role for line in page.compare.plot.lines}
    choose(page, "fast", "wide")
    after = {line.name: line.role for line in page.compare.plot.lines}
    assert after["fast"] == before["fast"]
    assert after["wide"] not in before.values()


def test_more_runs_than_colors_differ_by_their_dashes(page):
    places = [page.compare_model.place_of(f"run-{i}") for i in range(12)]
    assert len(set(places)) == 12


def test_a_tick_in_the_legend_hides_a_run(page, deck, qtbot):
    choose(page, "careful", "fast")
    read_all(page, deck)
    qtbot.waitUntil(lambda: all(len(i.drawn.xs) for i in page.compare.plot.items))
    legend = page.compare.legend
    legend.setFocus()
    legend.setCurrentRow(1)
    QTest.keyClick(legend, Qt.Key.Key_Space)
    shown, hidden = page.compare.plot.items
    qtbot.waitUntil(lambda: len(hidden.drawn.xs) == 0)
    qtbot.waitUntil(lambda: len(shown.drawn.xs) > 0)


def test_another_metric_can_be_compared(page, deck):
    choose(page, "careful", "fast")
    read_all(page, deck)
    page.compare.metric_box.setCurrentIndex(page.compare.metric_box.findData("eval_loss"))
    assert page.compare.plot.title == "Eval loss"
    assert [line.series.last[1] for line in page.compare.plot.lines] == [1.5, 1.5]


def test_the_legend_reads_all_runs_at_the_crosshair(page, deck):
    choose(page, "careful", "fast")
    read_all(page, deck)
    page.compare.panel.axis.set_hover(100.0)
    assert page.compare.legend.item(0).text() == "1.02   careful"


def test_opening_a_run_leads_to_its_page(page, deck):
    choose(page, "fast")
    click(page.open_button)
    assert deck.window._current == "train"
    assert deck.window.current_page.model.run_id.endswith("0002")


def test_enter_opens_the_run_too(page, deck):
    page.table.setFocus()
    page.table.setCurrentIndex(page.filter.index(2, 0))
    QTest.keyClick(page.table, Qt.Key.Key_Return)
    assert deck.window._current == "train"


def test_resume_is_offered_where_a_checkpoint_is(page, three, qtbot):
    choose(page, "fast")
    assert not page.resume_button.isVisible()
    choose(page, "careful")
    assert not page.resume_button.isVisible()


def test_deleting_asks_first_and_keeping_is_the_default(page, three):
    choose(page, "wide")
    click(page.delete_button)
    box = page._question
    assert "wide" in box.text()
    assert box.defaultButton().text() == "Keep"
    QTest.mouseClick(box.defaultButton(), Qt.MouseButton.LeftButton)
    assert three[2].path.is_dir()


def test_a_deleted_run_is_gone_from_disk_and_list(page, three, qtbot):
    choose(page, "wide")
    click(page.delete_button)
    delete = next(
        b for b in page._question.buttons()
        if page._question.buttonRole(b) == QMessageBox.ButtonRole.DestructiveRole
    )  # fmt: skip
    QTest.mouseClick(delete, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: names(page) == ["fast", "careful"])
    assert not three[2].path.exists()


def test_a_living_run_can_be_stopped_and_not_deleted(page, deck, home, qtbot):
    run = write_run(home, usual(), "20261104-000000-train-d-0004", "alive", alive=True,
                    created_utc=4.0)  # fmt: skip
    page.list.refresh()
    qtbot.waitUntil(lambda: names(page)[0] == "alive")
    choose(page, "alive")
    assert page.stop_button.isVisible()
    assert not page.delete_button.isVisible()
    run.process_json.unlink()


def test_new_runs_appear_and_the_selection_stays(page, home, qtbot):
    choose(page, "careful")
    write_run(home, begun(), "20261105-000000-train-e-0005", "newer", created_utc=5.0)
    page.list.refresh()
    qtbot.waitUntil(lambda: names(page)[0] == "newer")
    assert [r.name for r in page.selected_runs()] == ["careful"]


def test_progress_of_a_run_is_taken_over_in_place(page, three, qtbot):
    resets = []
    page.table_model.modelReset.connect(lambda: resets.append(1))
    append(three[2], [step(41, loss=0.125)])
    page.list.refresh()
    row = COLUMNS.index("loss")
    qtbot.waitUntil(lambda: page.filter.index(0, row).data() == "0.125")
    assert resets == []


def test_a_damaged_run_is_listed_with_its_problem_and_hides_no_other(page, home, qtbot):
    broken = home.runs / "20261106-000000-train-f-0006"
    broken.mkdir()
    (broken / "run.json").write_text("{", encoding="utf-8")
    page.list.refresh()
    qtbot.waitUntil(lambda: len(names(page)) == 4)
    choose(page, broken.name)
    assert not page.open_button.isEnabled()
    assert page.delete_button.isVisible()


def test_chosen_runs_are_exported_in_full(page, three, qtbot):
    choose(page, "careful", "fast")
    click(page.export_button)
    qtbot.waitUntil(lambda: all(list(r.exports.glob("*-steps.csv")) for r in three[:2]))


def test_leaving_the_page_follows_no_run_that_was_only_compared(page, deck):
    choose(page, "careful", "fast")
    assert len(deck.window.ctx.services.supervisor.attached) == 2
    deck.window.navigate("settings")
    assert deck.window.ctx.services.supervisor.attached == ()


def test_without_runs_the_page_says_what_will_be_here(deck, qtbot):
    deck.window.show()
    deck.window.navigate("runs")
    page = deck.window.current_page
    qtbot.waitUntil(page.empty.isVisible)
    click(page.empty.button)
    assert deck.window._current == "train"


def test_the_page_speaks_chinese(page, deck, qtbot):
    deck.window.ctx.language.set_choice("zh_CN")
    qtbot.waitUntil(lambda: page.title_label.full_text == "运行记录")
    assert page.table_model.headerData(0, Qt.Orientation.Horizontal) == "状态"
    assert page.filter.index(2, 0).data() == "● 已完成"


def test_a_screen_reader_hears_the_column_with_the_value(page):
    index = page.filter.index(2, COLUMNS.index("steps"))
    assert index.data(Qt.ItemDataRole.AccessibleTextRole) == "Steps: 300 / 300"


@pytest.mark.parametrize("size", [(1024, 700), (1360, 860)])
def test_the_page_fits_the_window_in_width(page, deck, size, qtbot):
    choose(page, "careful", "fast")
    deck.window.resize(*size)
    scroll = page.findChild(QScrollArea, "PageScroll")
    qtbot.waitUntil(lambda: scroll.widget().width() <= scroll.viewport().width())


def test_the_newest_training_is_chosen_although_an_api_is_newer(deck, home, qtbot, three):
    document = run_document("serve", ServeSpec(model="/models/starter"), name="api")
    RunDir.create(home.runs, "20261104-000000-serve-d-0004", document | {"created_utc": 4.0})
    deck.window.show()
    deck.window.navigate("runs")
    page = deck.window.current_page
    qtbot.waitUntil(lambda: page.filter.rowCount() == 4)
    assert names(page)[0] == "api"
    assert [r.name for r in page.selected_runs()] == ["wide"]
    assert page.compare.panel.isVisible()
    choose(page, "api")
    assert not page.compare.panel.isVisible()
    assert page.compare.nothing.isVisible()


def test_an_api_is_stopped_and_saves_nothing(page, home, qtbot):
    document = run_document("serve", ServeSpec(model="/models/starter"), name="api")
    run = RunDir.create(home.runs, "20261104-000000-serve-d-0004", document)
    atomic_io.write_json(run.process_json, ProcessIdentity.of(os.getpid()).as_document())
    page.list.refresh()
    qtbot.waitUntil(lambda: page.filter.rowCount() == 4)
    choose(page, "api")
    assert page.stop_button.isVisible()
    assert page.stop_button.text() == "Stop"
