"""The cached picture of grid and ticks always belongs to the range that is shown."""

from collections.abc import Iterator

import pytest
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QWidget

from app.theme.manager import ThemeManager
from app.widgets.plot_view import PlotView
from app.widgets.plot_x_axis import XAxis


@pytest.fixture
def view(qtbot) -> Iterator[PlotView]:
    ThemeManager("light").apply()
    holder = QWidget()  # pyqtgraph's own close() takes the scene apart before Qt is done with it
    made = PlotView(XAxis(holder), holder)
    made.resize(320, 200)
    made.y_view = (0.0, 9.0)
    qtbot.addWidget(holder)
    holder.show()
    made.show_ranges()
    yield made
    holder.hide()


def painted(view: PlotView) -> QImage:
    return view.grab().toImage()


def test_a_paint_between_two_changes_of_the_range_leaves_no_old_numbers(view):
    right = painted(view)
    view.recolor()
    view.y_view = (0.0, 1.0)  # the lines are exchanged ...
    assert painted(view) != right  # ... and the window paints before they are drawn
    view.y_view = (0.0, 9.0)
    view.show_ranges()
    assert painted(view) == right


def test_another_kind_of_axis_has_other_numbers_at_once(view):
    linear = painted(view)
    view.log_y = True
    assert painted(view) != linear
