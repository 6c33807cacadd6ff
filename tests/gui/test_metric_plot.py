import itertools
import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QAccessible, QImage, QPainter, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.theme.manager import ThemeManager
from app.widgets.plot_export import free_path, save_png, save_svg
from app.widgets.plot_header import Entry, PlotHeader, fitting
from app.widgets.plot_lines import PlotLine
from app.widgets.plot_marks import Limit, Marks
from app.widgets.plot_panel import PlotPanel
from app.widgets.plot_style import role_color
from core.metrics import RunSeries
from core.protocol.events import AlarmRaised, CheckpointSaved, EvalDone, RunStarted, TrainStep
from tests.gui.written_runs import step


def filled(steps=1000, **change):
    run = RunSeries()
    run.apply([step(i, **{k: v(i) for k, v in change.items()}) for i in range(1, steps + 1)])
    return run


def make_panel(qtbot, run, names=("loss", "grad_norm")):
    ThemeManager("light").apply()
    panel = PlotPanel(list(names))
    for name in names:
        line = PlotLine(getattr(run, name), run, name, name, smooth=True)
        panel.plots[name].set_title(name)
        panel.plots[name].set_lines([line], Marks(run, checkpoints=True))
    panel.axis.set_runs([run])
    panel.table.set_run(run)
    panel.resize(900, 420)
    qtbot.addWidget(panel)
    panel.show()
    settle(qtbot, panel)
    return panel


def settle(qtbot, panel):
    plots = list(panel.plots.values())
    qtbot.waitUntil(lambda: not any(panel.scheduler.pending(p) for p in plots))


@pytest.fixture
def run():
    return filled()


@pytest.fixture
def panel(qtbot, run):
    return make_panel(qtbot, run)


def drag(view, start, end, modifier=Qt.KeyboardModifier.NoModifier):
    port = view.viewport()
    QTest.mousePress(port, Qt.MouseButton.LeftButton, modifier, start)
    for share in (0.3, 0.6, 1.0):
        QTest.mouseMove(port, start + (end - start) * share)
    QTest.mouseRelease(port, Qt.MouseButton.LeftButton, modifier, end)


def turn_wheel(view, place, turn, modifier=Qt.KeyboardModifier.NoModifier):
    where = QPointF(place)
    event = QWheelEvent(
        where, view.viewport().mapToGlobal(where), QPoint(), QPoint(0, turn),
        Qt.MouseButton.NoButton, modifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(view.viewport(), event)


def center(view):
    return view.area.center().toPoint()


def test_a_spike_of_one_step_is_drawn_at_its_height(qtbot):
    run = filled(20_000, loss=lambda i: 9.0 if i == 12_345 else 1.0)
    panel = make_panel(qtbot, run)
    assert panel.plots["loss"].items[0].drawn.ys.max() == 9.0
    assert panel.plots["loss"].view.y_view[1] > 9.0


def test_far_fewer_points_are_drawn_than_there_are(qtbot):
    panel = make_panel(qtbot, filled(50_000))
    view = panel.plots["loss"].view
    assert len(panel.plots["loss"].items[0].drawn.xs) <= 2 * view.columns + 7


def test_new_steps_come_into_view_while_following(qtbot, panel, run):
    before = panel.axis.view[1]
    run.apply([step(i) for i in range(1001, 2001)])
    panel.data_changed()
    settle(qtbot, panel)
    assert panel.axis.follow
    assert panel.axis.view[1] > 2000 > before


def test_the_view_moves_in_steps_and_not_with_each_point(qtbot, panel, run):
    before = panel.axis.view
    run.apply([step(i) for i in range(1001, 1100)])
    panel.data_changed()
    settle(qtbot, panel)
    assert panel.axis.view == before


def test_dragging_pans_all_plots_and_ends_following(qtbot, panel):
    view = panel.plots["loss"].view
    before = panel.axis.view
    drag(view, center(view), center(view) + QPoint(-80, 0))
    settle(qtbot, panel)
    assert not panel.axis.follow
    assert not panel.follow_button.isChecked()
    assert panel.axis.view[0] > before[0]
    shown = [p.view.box.viewRange()[0] for p in panel.plots.values()]
    assert np.allclose(shown[0], shown[1])
    assert np.allclose(shown[0], panel.axis.view)


def test_one_click_follows_again(qtbot, panel):
    view = panel.plots["loss"].view
    drag(view, center(view), center(view) + QPoint(-80, 0))
    QTest.mouseClick(panel.follow_button, Qt.MouseButton.LeftButton)
    assert panel.axis.follow
    assert panel.axis.view[0] == 0.0


def test_a_panned_view_stays_where_it_is_when_steps_come(qtbot, panel, run):
    view = panel.plots["loss"].view
    drag(view, center(view), center(view) + QPoint(60, 0))
    here = panel.axis.view
    run.apply([step(i) for i in range(1001, 3001)])
    panel.data_changed()
    settle(qtbot, panel)
    assert panel.axis.view == here


def test_the_wheel_zooms_at_the_pointer(panel):
    view = panel.plots["loss"].view
    place = center(view) - QPoint(50, 0)
    under = view.x_at(place.x())
    width = panel.axis.view[1] - panel.axis.view[0]
    turn_wheel(view, place, 120)
    assert panel.axis.view[1] - panel.axis.view[0] < width
    assert view.x_at(place.x()) == pytest.approx(under)


def test_the_wheel_with_control_zooms_the_y_axis_only(panel):
    view = panel.plots["loss"].view
    before, height = panel.axis.view, view.y_view[1] - view.y_view[0]
    turn_wheel(view, center(view), 120, Qt.KeyboardModifier.ControlModifier)
    assert panel.axis.view == before
    assert view.y_view[1] - view.y_view[0] < height
    assert view.y_locked


def test_shift_and_drag_zoom_into_the_box(qtbot, panel):
    view = panel.plots["loss"].view
    a, b = center(view) - QPoint(40, 20), center(view) + QPoint(40, 20)
    expected = (view.x_at(a.x()), view.x_at(b.x()), view.y_at(b.y()), view.y_at(a.y()))
    drag(view, a, b, Qt.KeyboardModifier.ShiftModifier)
    settle(qtbot, panel)
    assert (*panel.axis.view, *view.y_view) == pytest.approx(expected, rel=0.02)


def test_a_double_click_shows_everything_again(qtbot, panel):
    view = panel.plots["loss"].view
    drag(view, center(view) - QPoint(40, 20), center(view), Qt.KeyboardModifier.ShiftModifier)
    QTest.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=center(view))
    settle(qtbot, panel)
    assert panel.axis.follow
    assert not view.y_locked
    assert view.y_view[1] > 3.0


def test_nobody_can_zoom_or_pan_out_of_reach(panel):
    view = panel.plots["loss"].view
    for _ in range(80):
        turn_wheel(view, center(view), -1200)
    low, high = panel.axis.view
    assert high - low < 5000
    panel.axis.show_range(1e9, 1e9 + 5)
    assert panel.axis.view[0] < 2000


def test_the_keys_switch_follow_log_and_smoothing(qtbot, panel):
    plot = panel.plots["loss"]
    plot.setFocus()
    QTest.keyClick(plot, Qt.Key.Key_Space)
    assert not panel.axis.follow
    QTest.keyClick(plot, Qt.Key.Key_L)
    assert plot.log_y
    assert not panel.plots["grad_norm"].log_y
    before = panel.smoothing
    QTest.keyClick(plot, Qt.Key.Key_S)
    assert panel.smoothing != before
    assert panel.smooth_slider.value() == round(panel.smoothing * 100)


def test_the_slider_smooths_all_plots_and_zero_is_off(panel):
    panel.smooth_slider.setValue(0)
    assert [p.items[0].smoothing for p in panel.plots.values()] == [0.0, 0.0]
    panel.smooth_slider.setValue(97)
    assert [p.items[0].smoothing for p in panel.plots.values()] == [0.97, 0.97]


def test_the_crosshair_stands_in_all_plots_at_the_nearest_step(qtbot, panel):
    view = panel.plots["loss"].view
    place = QPointF(view.x_pixel(500.3), view.area.center().y()).toPoint()
    QTest.mouseMove(view.viewport(), place)
    nearest = round(view.x_at(place.x()))
    for plot in panel.plots.values():
        painter = plot._painter
        assert painter.crosshair_text == f"{nearest:,}"
        assert painter.crosshair_x == pytest.approx(plot.view.x_pixel(nearest))
    assert panel.plots["loss"].header.value == "1.00"
    assert "smoothed" in panel.plots["loss"].header.entries[0].text


def test_the_crosshair_goes_when_the_pointer_leaves(panel):
    panel.axis.set_hover(500.0)
    view = panel.plots["loss"].view
    QTest.mouseMove(view.viewport(), QPoint(1, 1))
    assert panel.axis.hover is None
    assert panel.plots["grad_norm"]._painter.crosshair_x is None


def test_arrow_keys_walk_the_crosshair_from_step_to_step(panel):
    plot = panel.plots["loss"]
    plot.setFocus()
    QTest.keyClick(plot, Qt.Key.Key_Left)
    assert panel.axis.hover == 1000
    QTest.keyClick(plot, Qt.Key.Key_Left)
    assert panel.axis.hover == 999
    QTest.keyClick(plot, Qt.Key.Key_Left, Qt.KeyboardModifier.ShiftModifier)
    assert panel.axis.hover == 939
    assert "939" in plot.accessibleDescription()
    QTest.keyClick(plot, Qt.Key.Key_Escape)
    assert panel.axis.hover is None


def test_the_header_names_an_alarm_under_the_crosshair(panel, run):
    run.apply([AlarmRaised(alarm="loss_spike", step=700)])
    panel.axis.set_hover(700.0)
    assert panel.plots["loss"].header.entries[0].text == "loss_spike"


def test_a_diverged_step_is_a_mark_on_the_axis_and_not_a_hole(qtbot, run, panel):
    run.apply([TrainStep(step=1001, loss=math.nan), *(step(i) for i in range(1002, 1101))])
    panel.data_changed()
    settle(qtbot, panel)
    plot = panel.plots["loss"]
    assert len(plot._painter._placed.diverged) == 1
    assert np.isfinite(plot.items[0].drawn.ys).all()


def test_alarms_and_checkpoints_stand_where_they_happened(qtbot, run, panel):
    run.apply([AlarmRaised(alarm="loss_spike", step=250), CheckpointSaved(step=600)])
    panel.data_changed()
    settle(qtbot, panel)
    plot = panel.plots["loss"]
    placed = plot._painter._placed
    assert [p.x() for p in placed.alarms] == pytest.approx([plot.view.x_pixel(250)], abs=1)
    assert placed.checkpoints == pytest.approx([plot.view.x_pixel(600)], abs=1)


def test_a_resume_breaks_the_curve(qtbot, run, panel):
    run.apply([RunStarted(resumed_from_step=400), *(step(i) for i in range(401, 801))])
    panel.data_changed()
    settle(qtbot, panel)
    drawn = panel.plots["loss"].items[0].drawn
    assert np.isnan(drawn.xs).sum() == 1
    assert np.nanmax(drawn.xs) == 800
    assert len(panel.plots["loss"]._painter._placed.resumes) == 1


def test_training_time_has_no_gap_where_the_run_was_stopped_for_a_night(run, panel):
    night = [e.model_copy(update={"monotonic_s": 86_400.0 + i}) for i, e in enumerate(
        step(i) for i in range(1001, 1101)
    )]  # fmt: skip
    end = run.elapsed_s.last[1]
    run.apply([RunStarted(resumed_from_step=1000), *night])
    panel.mode_box.setCurrentIndex(panel.mode_box.findData("time"))
    panel._mode_chosen(panel.mode_box.currentIndex())
    assert panel.axis.end() < end + 200


def test_epochs_and_steps_are_two_names_of_one_place(run, panel):
    panel.axis.set_mode("epoch")
    places = panel.axis.to_view(np.array([0.0, 1.0, 500.0]), run)
    assert places.tolist() == pytest.approx([0.0, 0.01, 5.0])
    assert panel.axis.to_steps(places, run).tolist() == pytest.approx([0.0, 1.0, 500.0])


def test_a_logarithmic_x_axis_begins_at_the_first_step(qtbot, run, panel):
    panel.axis.set_log(True)
    settle(qtbot, panel)
    assert panel.axis.view[0] == 0.0
    assert panel.axis.view[1] == pytest.approx(math.log10(1200))
    assert np.isfinite(panel.plots["loss"].items[0].drawn.xs).all()


def test_values_that_a_logarithm_has_not_are_left_out(qtbot):
    panel = make_panel(qtbot, filled(500, loss=lambda i: 0.0 if i == 100 else float(i)))
    panel.plots["loss"].set_log_y(True)
    settle(qtbot, panel)
    assert np.isfinite(panel.plots["loss"].items[0].drawn.ys).all()
    assert panel.plots["loss"].view.y_view[0] > -1


@pytest.mark.parametrize("value", [0.5, 0.72, 1.0])
def test_the_label_of_a_limit_covers_no_data(qtbot, value):
    noise = np.random.default_rng(0).uniform(0.2, 1.4, 2001)
    panel = make_panel(qtbot, filled(900, grad_norm=lambda i: float(noise[i])))
    plot = panel.plots["grad_norm"]
    plot.set_limits([Limit(value, f"clip {value}")])
    settle(qtbot, panel)
    xs, ys = plot._painter._pixels_of(plot.items[0])
    for place, _ in plot._painter._labels:
        inside = (xs > place.left()) & (xs < place.right())
        inside &= (ys > place.top()) & (ys < place.bottom())
        assert not inside.any()
    named = [limit.value for _, limit in plot._painter._labels]
    assert value in named or value in [limit.value for limit in plot._painter.homeless]


def test_a_limit_far_away_is_named_in_the_header_and_does_not_flatten_the_curve(qtbot, panel):
    plot = panel.plots["loss"]
    plot.set_limits([Limit(1000.0, "far 1000")])
    settle(qtbot, panel)
    assert plot.view.y_view[1] < 10
    assert "far 1000" in [e.text for e in plot.header.entries]


def test_the_texts_of_both_axes_never_touch(qtbot, panel):
    for width, height in ((330, 300), (900, 420), (1600, 900)):
        panel.resize(width, height)
        for log in (False, True):
            panel.plots["loss"].set_log_y(log)
            panel.axis.set_log(log)
            settle(qtbot, panel)
            view = panel.plots["loss"].view
            view.grab()
            boxes = sorted(view.x_labels, key=lambda r: r.left())
            for a, b in itertools.pairwise(boxes):
                assert a.right() <= b.left() + 4
            places = sorted(view.y_pixel(t.position) for t in view.y_ticks())
            assert all(b - a > 12 for a, b in itertools.pairwise(places))


def test_nothing_is_drawn_while_hidden_and_all_is_caught_up_when_shown(qtbot, run, panel):
    panel.hide()
    drawings = panel.scheduler.drawings
    run.apply([step(i) for i in range(1001, 1501)])
    panel.data_changed()
    qtbot.wait(250)
    assert panel.scheduler.drawings == drawings
    panel.show()
    settle(qtbot, panel)
    assert panel.plots["loss"].items[0].drawn.xs.max() == 1500


def test_a_flood_of_news_is_one_drawing(qtbot, run, panel):
    qtbot.wait(150)
    drawings = panel.scheduler.drawings
    for i in range(1001, 1101):
        run.apply([step(i)])
        panel.data_changed()
    settle(qtbot, panel)
    assert panel.scheduler.drawings - drawings <= 2 * len(panel.plots)


def test_an_idle_panel_draws_nothing(qtbot, panel):
    qtbot.wait(150)
    drawings = panel.scheduler.drawings
    qtbot.wait(300)
    assert panel.scheduler.drawings == drawings


def test_another_scheme_recolors_curves_and_ground(qtbot, panel):
    before = panel.plots["loss"].view.grab().toImage().pixelColor(60, 12)
    ThemeManager.current().set_preference("dark")
    settle(qtbot, panel)
    after = panel.plots["loss"].view.grab().toImage().pixelColor(60, 12)
    assert before.lightness() > 200
    assert after.lightness() < 60


def test_a_screen_reader_gets_the_name_and_one_living_sentence(panel):
    plot = panel.plots["loss"]
    interface = QAccessible.queryAccessibleInterface(plot)
    assert interface.text(QAccessible.Text.Name) == "loss"
    assert interface.text(QAccessible.Text.Description) == (
        "loss 1.00 at step 1000, steady, no alarms."
    )


def test_the_value_of_now_stands_above_the_plot(panel):
    assert (panel.plots["loss"].header.value, panel.plots["loss"].header.unit) == ("1.00", "")


def test_an_evaluation_lies_over_the_loss(qtbot, run, panel):
    run.apply([EvalDone(step=0, split="eval", loss=2.0), EvalDone(step=900, split="eval", loss=1)])
    plot = panel.plots["loss"]
    lines = [plot.lines[0], PlotLine(run.eval_loss["eval"], run, "evaluation", "eval", bold=True)]
    plot.set_lines(lines)
    settle(qtbot, panel)
    assert plot.items[1].drawn.xs.tolist() == [0.0, 900.0]
    assert "eval" in [e.text for e in plot.header.entries]


def test_an_empty_plot_says_so_and_invents_no_axis(qtbot):
    panel = make_panel(qtbot, RunSeries())
    view = panel.plots["loss"].view
    assert view.empty_text == "No values yet"
    assert view.y_ticks() == []


def test_a_picture_is_twice_as_large_as_on_the_screen(panel, tmp_path):
    path = save_png(panel.plots["loss"], tmp_path / "loss.png")
    picture = QImage(str(path))
    assert picture.size() == panel.plots["loss"].size() * 2


def test_a_drawing_has_texts_and_lines_instead_of_pixels(panel, tmp_path):
    path = save_svg(panel.plots["loss"], tmp_path / "loss.svg")
    tags = {e.tag.rpartition("}")[2] for e in ET.parse(path).iter()}
    assert "text" in tags
    assert "image" not in tags
    assert "polyline" in tags or "path" in tags


def test_an_exported_file_never_replaces_another(tmp_path):
    (tmp_path / "loss.png").touch()
    assert free_path(tmp_path, "loss", ".png").name == "loss-2.png"


def test_the_table_holds_every_step_and_grows(qtbot, run, panel):
    QTest.mouseClick(panel.table_button, Qt.MouseButton.LeftButton)
    model = panel.table.model()
    assert model.rowCount() == 1000
    run.apply([step(1001), TrainStep(step=1002, loss=math.nan)])
    panel.data_changed()
    qtbot.waitUntil(lambda: model.rowCount() == 1002)
    row = [model.index(1001, c).data() for c in range(model.columnCount())]
    assert row[0] == "1,002"
    assert "NaN" in row


def test_the_keyboard_walks_the_table_and_the_crosshair_goes_along(qtbot, panel):
    QTest.mouseClick(panel.table_button, Qt.MouseButton.LeftButton)
    panel.table.setFocus()
    panel.table.selectRow(10)
    QTest.keyClick(panel.table, Qt.Key.Key_Down)
    assert panel.axis.hover == 12
    text = panel.table.model().index(11, 3).data(Qt.ItemDataRole.AccessibleTextRole)
    assert text.startswith("Loss 1.1")


def test_the_plot_has_its_own_menu_with_ticks_where_things_are_on(qtbot, panel):
    plot = panel.plots["loss"]
    plot.menu_requested.emit(plot.mapToGlobal(QPoint(50, 50)))
    texts = {a.text(): a for a in panel._menu.actions()}
    assert texts["Follow the newest step"].isChecked()
    texts["Logarithmic y axis"].trigger()
    assert plot.log_y
    with qtbot.waitSignal(panel.export_requested) as asked:
        texts["Save picture (PNG, double size)"].trigger()
    assert asked.args == ["png", plot]
    panel._menu.close()


def test_jumping_to_a_step_shows_its_neighbors_in_all_plots(qtbot, panel):
    panel.show_steps(500)
    settle(qtbot, panel)
    assert panel.axis.view == pytest.approx((480, 520))
    assert panel.axis.hover == 500
    assert panel.plots["grad_norm"].items[0].drawn.xs.min() >= 478


def test_marks_stay_on_their_steps_when_the_window_changes_its_size(qtbot, run, panel):
    run.apply([AlarmRaised(alarm="loss_spike", step=250)])
    panel.data_changed()
    settle(qtbot, panel)
    plot = panel.plots["loss"]
    for size in ((500, 300), (1200, 700)):
        panel.resize(*size)
        settle(qtbot, panel)
        mark = plot._painter._placed.alarms[0]
        assert mark.x() == pytest.approx(plot.view.x_pixel(250), abs=1)
        assert plot.view.area.contains(mark)


def test_a_legend_without_room_leaves_the_raw_line_out_first():
    raw, smoothed = Entry("raw", "loss", faint=True), Entry("smoothed", "loss")
    evaluated = Entry("eval", "evaluation")
    entries = (raw, smoothed, evaluated)
    assert fitting(entries, lambda _: 50.0, 300.0) == entries
    assert fitting(entries, lambda _: 50.0, 150.0) == (smoothed, evaluated)
    assert fitting(entries, lambda _: 50.0, 100.0) == (smoothed,)
    assert fitting(entries, lambda _: 50.0, 10.0) == ()


def test_a_rate_of_zero_stands_on_an_axis_that_begins_at_zero(qtbot):
    run = filled(3, grad_norm=lambda _: 0.0)
    panel = make_panel(qtbot, run, ("grad_norm",))
    low, high = panel.plots["grad_norm"].view.y_view
    assert low == 0.0
    assert high > 0.5


@pytest.mark.parametrize("left", [0.0, 0.3, 0.5, 0.8])
def test_a_dashed_line_is_dashed_in_the_legend(qtbot, left):
    ThemeManager("light").apply()
    header = PlotHeader()
    qtbot.addWidget(header)
    header.resize(400, 32)
    header.show_state("", "", (Entry("one", "loss", (4.0, 3.0)),))
    picture = QImage(header.size(), QImage.Format.Format_RGB32)
    picture.fill(Qt.GlobalColor.white)
    painter = QPainter(picture)
    header._paint_entries(painter, 20 + left, 380)
    painter.end()
    color = role_color("loss").rgb()
    swatch = range(20, 36)
    rows = [[picture.pixel(x, y) == color for x in swatch] for y in range(32)]
    inked = next(row for row in rows if any(row))
    assert len([1 for a, b in itertools.pairwise(inked) if a and not b]) >= 2
