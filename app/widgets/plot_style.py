"""Pens and colors of the plots, made from the tokens of the scheme that is on."""

from __future__ import annotations

import functools

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QPen

from app.theme import fonts
from app.theme.manager import ThemeManager

DASHES: tuple[tuple[float, ...], ...] = ((), (6, 3), (2, 2), (8, 3, 2, 3))
"""With the colors, so that curves are told apart without them. Empty is a solid line."""
RAW_SHARE = 0.5
"""How much of the curve's color the raw line keeps; mixed, not transparent: alpha is slow."""


@functools.lru_cache(maxsize=32)
def font(point_size: float, weight: int = QFont.Weight.Normal) -> QFont:
    """The window's font, made once: asking which families are installed takes 2 ms."""
    return fonts.ui_font(point_size, weight)


def role_color(role: str) -> QColor:
    """A role of the tokens ("loss", "muted") or one of the series colors ("series:3")."""
    tokens = ThemeManager.current().tokens
    if role.startswith("series:"):
        return QColor(tokens.series[int(role[7:]) % len(tokens.series)])
    return QColor(getattr(tokens, role))


def faint(color: QColor, share: float = RAW_SHARE) -> QColor:
    """`color` mixed with the plot's background."""
    ground = role_color("plot_background")
    return QColor.fromRgbF(
        *(share * c + (1 - share) * g for c, g in zip(_rgb(color), _rgb(ground), strict=True))
    )


def pen(color: QColor, width: float = 1.0, dash: tuple[float, ...] = ()) -> QPen:
    """A cosmetic pen: its width is in pixels whatever the zoom."""
    made = QPen(color)
    made.setWidthF(width)
    made.setCosmetic(True)
    if dash:
        made.setDashPattern(list(dash))
    else:
        made.setStyle(Qt.PenStyle.SolidLine)
    return made


def _rgb(color: QColor) -> tuple[float, float, float]:
    return color.redF(), color.greenF(), color.blueF()
