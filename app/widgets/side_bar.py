"""The side bar: ten pages, and how busy the machine is at its foot."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QButtonGroup, QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.pages.registry import PAGES, PageEntry
from app.theme.icons import icon
from app.theme.manager import ThemeManager
from app.widgets.buttons import Button
from app.widgets.labels import label
from app.widgets.machine_card import MachineCard

WIDTH = 196
_NAV_ICON = QSize(23, 17)


class NavButton(Button):
    """One page in the side bar; its icon takes the accent while it is open."""

    def __init__(self, page: PageEntry, parent: QWidget | None = None) -> None:
        super().__init__(kind="nav", icon_name=page.icon_name, parent=parent)
        self.page_id = page.page_id
        self.setCheckable(True)
        self.setIconSize(_NAV_ICON)
        self.toggled.connect(self._toggled)

    def _toggled(self, _checked: bool) -> None:
        self.refresh_icon()


class SideBar(QFrame):
    """`selected` carries a page id. Arrow keys move between pages, Ctrl+1 to Ctrl+0 jump."""

    selected = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("SideBar")
        self.setFixedWidth(WIDTH)
        self._mark = QLabel()
        self._brand = label("DeepDeck", "brand")
        self.buttons: dict[str, NavButton] = {}
        self._group = QButtonGroup(self)
        self.machine_card = MachineCard()
        self._lay_out()
        self._group.buttonClicked.connect(self._clicked)
        ThemeManager.current().changed.connect(self._draw)
        self._draw()
        self.retranslate()

    def select(self, page_id: str) -> None:
        """Mark a page as open."""
        self.buttons[page_id].setChecked(True)

    def page_name(self, page_id: str) -> str:
        """The name of a page in the language that is on."""
        return self.buttons[page_id].text()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up and down move to the neighboring page."""
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        if step is None:
            super().keyPressEvent(event)
            return
        order = list(self.buttons.values())
        here = next((i for i, b in enumerate(order) if b.hasFocus()), 0)
        order[(here + step) % len(order)].setFocus(Qt.FocusReason.TabFocusReason)

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def retranslate(self) -> None:
        """Name the pages."""
        names = {
            "overview": self.tr("Overview"),
            "setup": self.tr("Setup"),
            "models": self.tr("Models"),
            "deploy": self.tr("Deploy"),
            "chat": self.tr("Chat"),
            "data": self.tr("Data"),
            "train": self.tr("Train"),
            "runs": self.tr("Runs"),
            "doctor": self.tr("Doctor"),
            "settings": self.tr("Settings"),
        }
        self.setAccessibleName(self.tr("Pages"))
        for number, (page_id, name) in enumerate(names.items(), start=1):
            self.buttons[page_id].set_text(name)
            self.buttons[page_id].setToolTip(f"{name} (Ctrl+{number % 10})")

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 16, 12, 12)
        column.setSpacing(2)
        brand = QHBoxLayout()
        brand.setContentsMargins(2, 0, 0, 14)
        brand.setSpacing(8)
        brand.addWidget(self._mark)
        brand.addWidget(self._brand, 1)
        column.addLayout(brand)
        for page in PAGES:
            button = NavButton(page)
            self._group.addButton(button)
            self.buttons[page.page_id] = button
            column.addWidget(button)
        column.addStretch(1)
        column.addWidget(self.machine_card)

    def _draw(self) -> None:
        self._mark.setPixmap(icon("waves", "accent").pixmap(QSize(22, 22)))

    def _clicked(self, button: NavButton) -> None:
        self.selected.emit(button.page_id)
