"""The shapes of marks as paths, and the box that explains those under the pointer."""

from __future__ import annotations

import math
from collections.abc import Iterable

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPainterPath, QPolygonF

from app.widgets.plot_style import pen, role_color

TRIANGLE_PX = 5.0
DOT_PX = 3.0
STAR_PX = 6.5
DIAMOND_PX = 4.5
CROSS_PX = 3.5
ARROW_PX = 4.5
_STAR_INNER = 0.45
_PAD = 7.0
_SWATCH = 7.0
_FROM_POINTER = 10.0
_WRAP = int(Qt.TextFlag.TextWordWrap) | int(Qt.AlignmentFlag.AlignLeft)


def triangles(tips: Iterable[QPointF], size: float = TRIANGLE_PX) -> QPainterPath:
    """Pointing down at the curve, as an alarm does."""
    path = QPainterPath()
    for tip in tips:
        path.moveTo(tip.x() - size, tip.y() - size)
        path.lineTo(tip.x() + size, tip.y() - size)
        path.lineTo(tip.x(), tip.y() + size * 0.8)
        path.closeSubpath()
    return path


def dots(centers: Iterable[QPointF], radius: float = DOT_PX) -> QPainterPath:
    """Filled circles."""
    path = QPainterPath()
    for center in centers:
        path.addEllipse(center, radius, radius)
    return path


def crosses(centers: Iterable[QPointF], half: float = CROSS_PX) -> QPainterPath:
    """Diagonal crosses, to be stroked."""
    path = QPainterPath()
    for c in centers:
        path.moveTo(c.x() - half, c.y() - half)
        path.lineTo(c.x() + half, c.y() + half)
        path.moveTo(c.x() - half, c.y() + half)
        path.lineTo(c.x() + half, c.y() - half)
    return path


def diamonds(centers: Iterable[QPointF], half: float = DIAMOND_PX) -> QPainterPath:
    """Squares on their tip."""
    path = QPainterPath()
    for c in centers:
        points = [(0, -half), (half, 0), (0, half), (-half, 0)]
        path.addPolygon(QPolygonF([QPointF(c.x() + x, c.y() + y) for x, y in points]))
        path.closeSubpath()
    return path


def star(center: QPointF, radius: float = STAR_PX) -> QPainterPath:
    """Five points, the upper one first."""
    points = []
    for i in range(10):
        r = radius if i % 2 == 0 else radius * _STAR_INNER
        angle = math.pi * (i / 5 - 0.5)
        points.append(QPointF(center.x() + r * math.cos(angle), center.y() + r * math.sin(angle)))
    path = QPainterPath()
    path.addPolygon(QPolygonF(points))
    path.closeSubpath()
    return path


def arrow_head(tip: QPointF, size: float = ARROW_PX) -> QPainterPath:
    """A filled head that points to the left."""
    path = QPainterPath()
    head = [tip, tip + QPointF(1.6 * size, -size), tip + QPointF(1.6 * size, size)]
    path.addPolygon(QPolygonF(head))
    path.closeSubpath()
    return path


def paint_callout(painter: QPainter, area: QRectF, x: float, notes: list[tuple[str, str]]) -> None:
    """Texts with a swatch each in a box beside the crosshair, on the side that has more room.

    Args:
        painter: with the font that is to be used.
        area: where the curves are.
        x: of the crosshair, in pixels.
        notes: (text, color role).
    """
    metrics = QFontMetricsF(painter.font())
    room = max(x - area.left(), area.right() - x) - _FROM_POINTER - 2
    indent = _PAD + _SWATCH + 6
    inner = room - indent - _PAD
    sizes = [metrics.boundingRect(QRectF(0, 0, inner, 1e4), _WRAP, text) for text, _ in notes]
    width = max(size.width() for size in sizes) + indent + _PAD
    height = sum(size.height() for size in sizes) + 2 * _PAD - 2
    left = x + _FROM_POINTER if area.right() - x >= x - area.left() else x - _FROM_POINTER - width
    box = QRectF(round(left) + 0.5, area.top() + 4.5, round(width), round(height))
    path = QPainterPath()
    path.addRoundedRect(box, 5, 5)
    painter.fillPath(path, role_color("raised"))
    painter.strokePath(path, pen(role_color("border_strong")))
    top = box.top() + _PAD - 1
    for (text, role), size in zip(notes, sizes, strict=True):
        middle = QPointF(box.left() + _PAD + _SWATCH / 2, top + metrics.height() / 2)
        painter.fillPath(dots([middle], _SWATCH / 2), role_color(role))
        painter.setPen(role_color("text"))
        place = QRectF(box.left() + indent, top, inner, size.height())
        painter.drawText(place, _WRAP, text)
        top += size.height()
