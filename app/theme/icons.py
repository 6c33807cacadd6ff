"""Material Design icons in the colors of the scheme, from the font that QtAwesome ships.

QtAwesome itself is not imported: it brings qtpy, which touches every Qt class, and reads nine
fonts where one is used; together 0.2 s of the window's start. Its font and map of names are enough.
"""

from __future__ import annotations

import functools
import json
from importlib.util import find_spec
from pathlib import Path

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontDatabase,
    QIcon,
    QIconEngine,
    QPainter,
    QPixmap,
)

from app.theme.manager import ThemeManager
from core.paths import RESOURCES

ICONS = RESOURCES / "icons"


def _font_files() -> tuple[Path, Path]:
    spec = find_spec("qtawesome")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("qtawesome")
    fonts = Path(spec.submodule_search_locations[0]) / "fonts"
    ttf = next(fonts.glob("materialdesignicons6-webfont-[0-9]*.ttf"))
    names = next(fonts.glob("materialdesignicons6-webfont-charmap-*.json"))
    return ttf, names


@functools.cache
def _glyphs() -> dict[str, str]:
    names: dict[str, str] = json.loads(_font_files()[1].read_text(encoding="utf-8"))
    return names


@functools.cache
def _family() -> str:
    number = QFontDatabase.addApplicationFont(str(_font_files()[0]))
    return QFontDatabase.applicationFontFamilies(number)[0]


class _GlyphEngine(QIconEngine):
    """Paints one glyph at any size, so that icons stay sharp on every screen."""

    def __init__(self, glyph: str, color: str, disabled: str) -> None:
        super().__init__()
        self._glyph, self._color, self._disabled = glyph, color, disabled

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        font = QFont(_family())
        font.setPixelSize(max(1, rect.height()))
        font.setStyleStrategy(QFont.StyleStrategy.NoFontMerging)
        painter.save()
        painter.setFont(font)
        painter.setPen(QColor(self._disabled if mode is QIcon.Mode.Disabled else self._color))
        # A rectangle wider than high keeps its rest as the gap to the text beside the icon.
        wide = rect.width() > rect.height()
        side = Qt.AlignmentFlag.AlignLeft if wide else Qt.AlignmentFlag.AlignHCenter
        painter.drawText(rect, side | Qt.AlignmentFlag.AlignVCenter, self._glyph)
        painter.restore()

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        drawn = QPixmap(size)
        drawn.fill(Qt.GlobalColor.transparent)
        painter = QPainter(drawn)
        self.paint(painter, QRect(QPoint(0, 0), size), mode, state)
        painter.end()
        return drawn

    def clone(self) -> QIconEngine:
        return _GlyphEngine(self._glyph, self._color, self._disabled)


@functools.lru_cache(maxsize=512)
def _colored(name: str, color: str, disabled: str) -> QIcon:
    glyph = chr(int(_glyphs()[name], 16))
    return QIcon(_GlyphEngine(glyph, color, disabled))


def icon(name: str, role: str = "text") -> QIcon:
    """A Material Design icon, for example `icon("rocket-launch-outline", "accent")`.

    Args:
        name: as on the Material Design Icons site.
        role: a field of `Tokens`.

    Raises:
        KeyError: no icon has this name.
    """
    tokens = ThemeManager.current().tokens
    return _colored(name, getattr(tokens, role), tokens.faint)


def app_icon() -> QIcon:
    """The mark of DeepDeck."""
    return QIcon(str(ICONS / "deepdeck.svg"))
