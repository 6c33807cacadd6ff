"""The drawing area of one plot: pyqtgraph's view for the curves, own grid, ticks and mouse.

pyqtgraph's axis items and grids cost several times what the curves cost (measured: 82 ms against
6 ms for four plots), so text and grid are one pixmap that is painted anew only when the range,
the size or the scheme changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable

os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QEnterEvent,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPixmap,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QFrame, QGraphicsView, QWidget

from app.widgets.plot_style import font, pen, role_color
from app.widgets.plot_ticks import Tick, linear_ticks, log_ticks, thin
from app.widgets.plot_x_axis import XAxis

LEFT, TOP, RIGHT, BOTTOM = 46, 8, 10, 22
_TICK_GAP_X, _TICK_GAP_Y = 14.0, 8.0
_PIXELS_A_TICK_X, _PIXELS_A_TICK_Y = 72.0, 36.0
_DRAG_STARTS_PX = 4
_ZOOM_A_NOTCH = 0.82


class PlotView(pg.GraphicsView):  # type: ignore[misc]
    """Holds the view box, paints everything that is not a curve, and turns mouse into ranges."""

    menu_requested = Signal(object)
    y_touched = Signal()
    """The user chose a y range: automatic fitting ends."""
    reset_requested = Signal()
    pressed = Signal()
    resized = Signal()

    def __init__(self, axis: XAxis, parent: QWidget | None = None) -> None:
        super().__init__(parent, background=None)
        self.axis = axis
        self.log_y = False
        self.y_view = (0.0, 1.0)
        self.y_locked = False
        self.empty_text = ""
        """Said in the middle while there is nothing to draw; then the y axis has no numbers."""
        self.paint_foreground: Callable[[QPainter], None] | None = None
        self.box = pg.ViewBox(enableMouse=False, enableMenu=False)
        self.box.disableAutoRange()
        self.addItem(self.box)
        self._shown: tuple[float, ...] = ()
        self._backdrop: QPixmap | None = None
        self._backdrop_shows: tuple[object, ...] = ()
        self._press: QPointF | None = None
        self._dragging = False
        self._start: tuple[tuple[float, float], tuple[float, float]] = ((0, 1), (0, 1))
        self.rubber: QRectF | None = None
        self.pointed = False
        """The pointer is over this one of the linked plots."""
        self.vector = False
        """Paint axes as text and lines, for an SVG, instead of the cached picture."""
        self.x_labels: list[QRectF] = []
        """Where the texts of the x axis stand."""
        self.setFrameShape(QFrame.Shape.NoFrame)
        # pyqtgraph lets Qt cache the background, which then never hears of a new range.
        self.setCacheMode(QGraphicsView.CacheModeFlag.CacheNone)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMinimumSize(160, 90)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self._tick_font = font(8.5)

    # Geometry

    def sizeHint(self) -> QSize:
        """Modest: a graphics view would ask for the size of its scene, which only grows."""
        return QSize(240, 130)

    @property
    def area(self) -> QRectF:
        """The rectangle in which curves are drawn, in pixels."""
        width = max(1, self.width() - LEFT - RIGHT)
        return QRectF(LEFT, TOP, width, max(1, self.height() - TOP - BOTTOM))

    @property
    def columns(self) -> int:
        """Pixel columns for decimation, in physical pixels."""
        return max(16, round(self.area.width() * float(self.devicePixelRatioF())))

    def x_pixel(self, position: float) -> float:
        """View coordinate to pixel."""
        low, high = self.axis.view
        return self.area.left() + (position - low) / (high - low) * self.area.width()

    def y_pixel(self, position: float) -> float:
        """View coordinate to pixel."""
        low, high = self.y_view
        return self.area.bottom() - (position - low) / (high - low) * self.area.height()

    def x_at(self, pixel: float) -> float:
        """Pixel to view coordinate."""
        low, high = self.axis.view
        return low + (pixel - self.area.left()) / self.area.width() * (high - low)

    def y_at(self, pixel: float) -> float:
        """Pixel to view coordinate."""
        low, high = self.y_view
        return low + (self.area.bottom() - pixel) / self.area.height() * (high - low)

    def show_ranges(self) -> None:
        """Hand both ranges to pyqtgraph when they changed."""
        wanted = (*self.axis.view, *self.y_view)
        if wanted != self._shown:
            self._shown = wanted
            self.box.setRange(xRange=wanted[:2], yRange=wanted[2:], padding=0)
        self.viewport().update()

    def recolor(self) -> None:
        """Another scheme is on."""
        self._backdrop = None
        self.viewport().update()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep the view box between the axes."""
        super().resizeEvent(event)
        if hasattr(self, "box"):
            self.box.setGeometry(self.area)
            self._backdrop = None
            self.resized.emit()

    # Painting

    def drawBackground(self, painter: QPainter, rect: QRectF) -> None:
        """Grid, axis line and tick texts, from a cached picture."""
        if self.vector:
            self._paint_axes(painter)
            return
        ratio = self.devicePixelRatioF()
        # Known by what it shows, not by who changed it: a paint may come between any two changes.
        x, y = (self.axis.view, self.axis.mode, self.axis.log), (self.y_view, self.log_y)
        shows = (x, y, bool(self.empty_text), ratio)
        if self._backdrop is None or self._backdrop_shows != shows:
            self._backdrop = self._paint_backdrop(ratio)
            self._backdrop_shows = shows
        painter.drawPixmap(QPointF(0, 0), self._backdrop)

    def drawForeground(self, painter: QPainter, rect: QRectF) -> None:
        """Marks, limits and crosshair."""
        if self.empty_text:
            painter.setFont(self._tick_font)
            painter.setPen(role_color("muted"))
            painter.drawText(self.area, Qt.AlignmentFlag.AlignCenter, self.empty_text)
        elif self.paint_foreground is not None:
            self.paint_foreground(painter)
        if self.rubber is not None:
            accent = role_color("accent")
            painter.setPen(pen(accent))
            accent.setAlpha(40)
            painter.fillRect(self.rubber, accent)
            painter.drawRect(self.rubber)

    def y_ticks(self) -> list[Tick]:
        """Labelled ticks of the y axis, none nearer than a line of text to the next."""
        if self.empty_text:
            return []
        low, high = self.y_view
        most = max(4, int(self.area.height() / _PIXELS_A_TICK_Y))
        ticks = log_ticks(low, high, most) if self.log_y else linear_ticks(low, high, most)
        line = QFontMetricsF(self._tick_font).height()
        return thin(ticks, self.y_pixel, lambda _: line * 0.6, _TICK_GAP_Y)

    def x_ticks(self) -> list[Tick]:
        """Labelled ticks of the x axis, thinned so that no two texts touch."""
        most = max(2, int(self.area.width() / _PIXELS_A_TICK_X))
        metrics = QFontMetricsF(self._tick_font)
        ticks = self.axis.ticks(most)
        return thin(ticks, self.x_pixel, lambda t: metrics.horizontalAdvance(t.label), _TICK_GAP_X)

    def _paint_backdrop(self, ratio: float) -> QPixmap:
        picture = QPixmap(self.size() * ratio)
        picture.setDevicePixelRatio(ratio)
        picture.fill(role_color("plot_background"))
        painter = QPainter(picture)
        self._paint_axes(painter)
        painter.end()
        return picture

    def _paint_axes(self, painter: QPainter) -> None:
        painter.setFont(self._tick_font)
        self._paint_y_axis(painter)
        self._paint_x_axis(painter)

    def _paint_y_axis(self, painter: QPainter) -> None:
        area = self.area
        half = QFontMetricsF(self._tick_font).height() / 2
        for tick in self.y_ticks():
            y = round(self.y_pixel(tick.position)) + 0.5
            painter.setPen(pen(role_color("plot_grid")))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(role_color("plot_tick_text"))
            place = QRectF(0, y - half, LEFT - 7, 2 * half)
            painter.drawText(
                place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, tick.label
            )

    def _paint_x_axis(self, painter: QPainter) -> None:
        area = self.area
        y = round(area.bottom()) + 0.5
        self.x_labels = []
        painter.setPen(pen(role_color("plot_axis")))
        painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
        for tick in self.x_ticks():
            x = round(self.x_pixel(tick.position)) + 0.5
            painter.setPen(pen(role_color("plot_axis")))
            painter.drawLine(QPointF(x, y), QPointF(x, y + 4))
            painter.setPen(role_color("plot_tick_text"))
            width = QFontMetricsF(self._tick_font).horizontalAdvance(tick.label) + 4
            left = min(max(0.0, x - width / 2), self.width() - width)
            place = QRectF(left, y + 4, width, BOTTOM - 5)
            painter.drawText(place, Qt.AlignmentFlag.AlignHCenter, tick.label)
            self.x_labels.append(place)

    # Mouse

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom at the pointer; Ctrl zooms y, a sideways wheel pans."""
        event.accept()
        turn, sideways = event.angleDelta().y(), event.angleDelta().x()
        place = event.position()
        if sideways and not turn:
            low, high = self.axis.view
            shift = -sideways / 120 * (high - low) * 0.08
            self.axis.show_range(low + shift, high + shift)
        elif event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self._set_y(*_zoomed(self.y_view, self.y_at(place.y()), turn))
        elif turn:
            self.axis.show_range(*_zoomed(self.axis.view, self.x_at(place.x()), turn))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a pan, or with Shift a box zoom."""
        self.pressed.emit()
        event.accept()
        if event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
            self._press = event.position()
            self._dragging = False
            self._start = (self.axis.view, self.y_view)
            if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
                self.rubber = QRectF(self._press, self._press)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Crosshair, pan or box."""
        event.accept()
        place = event.position()
        if self._press is None:
            self._hover(place)
            return
        moved = place - self._press
        self._dragging = self._dragging or moved.manhattanLength() > _DRAG_STARTS_PX
        if self.rubber is not None:
            self.rubber = QRectF(self._press, place).normalized() & self.area
            self.viewport().update()
        elif self._dragging:
            self._pan(moved)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End a pan or zoom into the box."""
        event.accept()
        box, self.rubber, self._press = self.rubber, None, None
        self.setCursor(Qt.CursorShape.CrossCursor)
        if box is not None and box.width() > _DRAG_STARTS_PX and box.height() > _DRAG_STARTS_PX:
            low, high = self.y_at(box.bottom()), self.y_at(box.top())
            self.axis.show_range(self.x_at(box.left()), self.x_at(box.right()))
            self._set_y(low, high)
        self.viewport().update()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Show everything again."""
        event.accept()
        self._press = None
        self.reset_requested.emit()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """The plot's own menu."""
        event.accept()
        self.menu_requested.emit(event.globalPos())

    def enterEvent(self, event: QEnterEvent) -> None:
        """Nothing yet: the crosshair comes with the first move."""
        event.accept()

    def leaveEvent(self, event: object) -> None:
        """Take the crosshair away."""
        self.pointed = False
        self.axis.set_hover(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Keys belong to the plot around this view."""
        event.ignore()

    def _hover(self, place: QPointF) -> None:
        inside = self.area.adjusted(-2, -TOP, 2, BOTTOM).contains(place)
        self.pointed = inside
        self.axis.set_hover(self.x_at(place.x()) if inside else None)

    def _pan(self, moved: QPointF) -> None:
        self.setCursor(Qt.CursorShape.ClosedHandCursor)
        (x_low, x_high), (y_low, y_high) = self._start
        shift = -moved.x() / self.area.width() * (x_high - x_low)
        self.axis.set_hover(None)
        self.axis.show_range(x_low + shift, x_high + shift)
        if self.y_locked:  # a fitted y has nowhere to go
            rise = moved.y() / self.area.height() * (y_high - y_low)
            self._set_y(y_low + rise, y_high + rise)

    def _set_y(self, low: float, high: float) -> None:
        self.y_locked = True
        self.y_view = (low, high)
        self.y_touched.emit()


def _zoomed(view: tuple[float, float], at: float, turn: int) -> tuple[float, float]:
    factor = _ZOOM_A_NOTCH ** (turn / 120)
    return at + (view[0] - at) * factor, at + (view[1] - at) * factor
