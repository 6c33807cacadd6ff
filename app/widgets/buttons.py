"""Buttons: at most one primary a page, the destructive one outlined in red."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QPushButton, QWidget

from app.theme.icons import icon
from app.theme.manager import ThemeManager
from app.widgets.labels import restyle

Kind = Literal["primary", "secondary", "danger", "link", "icon", "nav", "tab"]

_ICON_ROLE: dict[Kind, str] = {
    "primary": "on_accent",
    "secondary": "text",
    "danger": "error",
    "link": "accent",
    "icon": "muted",
    "nav": "muted",
    "tab": "muted",
}


class Button(QPushButton):
    """A button whose icon follows the scheme and whose accessible name follows its text.

    Args:
        text: a verb; for `kind="icon"` it becomes tooltip and accessible name instead.
        kind: how it looks.
        icon_name: Material Design name without prefix.
    """

    def __init__(
        self,
        text: str = "",
        kind: Kind = "secondary",
        icon_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._icon_name = icon_name
        self._kind: Kind = kind
        self.setProperty("kind", kind)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setIconSize(QSize(16, 16) if kind == "icon" else QSize(20, 16))
        self.set_text(text)
        self.refresh_icon()
        ThemeManager.current().changed.connect(self.refresh_icon)

    def set_text(self, text: str, tooltip: str = "") -> None:
        """Name the action; `tooltip` explains it where the verb alone does not."""
        if self._kind != "icon":
            self.setText(text)
        self.setAccessibleName(text)
        self.setToolTip(tooltip or (text if self._kind == "icon" else ""))
        self.setAccessibleDescription(tooltip)

    def set_kind(self, kind: Kind) -> None:
        """Look like another kind, for a button that starts and stops."""
        if kind != self._kind:
            self._kind = kind
            self.setProperty("kind", kind)
            restyle(self)
            self.refresh_icon()

    def set_icon(self, icon_name: str) -> None:
        """Another icon."""
        if icon_name != self._icon_name:
            self._icon_name = icon_name
            self.refresh_icon()

    def refresh_icon(self) -> None:
        """Draw the icon in the colors that are on."""
        if self._icon_name:
            self.setIcon(icon(self._icon_name, self._icon_role()))

    def _icon_role(self) -> str:
        if self.isCheckable() and self.isChecked():
            return "accent"
        return _ICON_ROLE[self._kind]
