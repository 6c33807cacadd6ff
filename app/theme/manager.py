"""Which scheme is on, and telling everybody when it changes."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import QApplication

from app.theme import fonts
from app.theme.palette import make_palette
from app.theme.style_sheet import make_style_sheet
from app.theme.tokens import Scheme, Tokens, load_tokens

Preference = Literal["system", "light", "dark"]


class ThemeManager(QObject):
    """Holds the scheme; `changed` comes after palette and style sheet are in place.

    Widgets that paint by themselves (plots, icons) read `tokens` and listen to `changed`.
    """

    changed = Signal()

    _current: ThemeManager | None = None

    def __init__(self, preference: Preference = "system", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._preference: Preference = preference
        self._tokens = load_tokens(self._wanted())
        hints = QGuiApplication.styleHints()
        hints.colorSchemeChanged.connect(self._system_changed)
        ThemeManager._current = self

    @classmethod
    def current(cls) -> ThemeManager:
        """The application's theme. There is one, as there is one `QApplication`."""
        if cls._current is None:
            cls._current = ThemeManager()
        return cls._current

    @property
    def tokens(self) -> Tokens:
        """The colors of the scheme that is on."""
        return self._tokens

    @property
    def scheme(self) -> Scheme:
        """The scheme that is on."""
        return self._tokens.scheme

    @property
    def preference(self) -> Preference:
        """What the user chose."""
        return self._preference

    def set_preference(self, preference: Preference) -> None:
        """Choose a scheme, or follow the system."""
        self._preference = preference
        if self._wanted() != self.scheme:
            self.apply()

    def color(self, role: str) -> QColor:
        """A role as a `QColor`, for painters and pyqtgraph."""
        return QColor(getattr(self._tokens, role))

    def apply(self) -> None:
        """Put the wanted scheme on the application."""
        app = QApplication.instance()
        if not isinstance(app, QApplication):
            return
        self._tokens = load_tokens(self._wanted())
        app.setStyle("Fusion")
        fonts.apply_font()
        app.setPalette(make_palette(self._tokens))
        app.setStyleSheet(make_style_sheet(self._tokens))
        self._hint_to_system()
        self.changed.emit()

    def _hint_to_system(self) -> None:
        # Native frames follow where they can; "system" must stay Unknown or it would stick.
        wanted = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}
        hints = QGuiApplication.styleHints()
        hints.setColorScheme(wanted.get(self._preference, Qt.ColorScheme.Unknown))

    def _wanted(self) -> Scheme:
        if self._preference != "system":
            return self._preference
        dark = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
        return "dark" if dark else "light"

    def _system_changed(self, _scheme: Qt.ColorScheme) -> None:
        if self._preference == "system" and self._wanted() != self.scheme:
            self.apply()
