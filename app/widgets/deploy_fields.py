"""Fields of the server's form: a switch with its explanation, a path, a set of adapters."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QEvent, Signal
from PySide6.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from app.widgets.buttons import Button
from app.widgets.card import clear_layout
from app.widgets.labels import label

_INDENT_PX = 26
_MOST_SHOWN = 8


class Switch(QWidget):
    """A check box with a quiet sentence under it."""

    toggled = Signal(bool)

    def __init__(self, on: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = QCheckBox()
        self.box.setChecked(on)
        self._help = label("", "muted", wrap=True)
        self._help.setContentsMargins(_INDENT_PX, 0, 0, 0)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.box)
        column.addWidget(self._help)
        self.box.toggled.connect(self.toggled)

    def set_texts(self, name: str, help_text: str) -> None:
        """What it switches and what that does."""
        self.box.setText(name)
        self.box.setAccessibleDescription(help_text)
        self._help.setText(help_text)

    @property
    def on(self) -> bool:
        """Whether it is switched on."""
        return self.box.isChecked()

    def set_on(self, on: bool) -> None:
        """Switch it."""
        self.box.setChecked(on)


class PathField(QWidget):
    """A line for a program's path, with a button that looks for it."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = QLineEdit()
        self.button = Button(kind="icon", icon_name="folder-open-outline")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.line, 1)
        row.addWidget(self.button)
        self.setFocusProxy(self.line)
        self.line.textChanged.connect(self.changed)
        self.button.clicked.connect(self._choose)
        self.retranslate()

    @property
    def path(self) -> str:
        """What is entered, with ~ meaning the home folder."""
        text = self.line.text().strip()
        return str(Path(text).expanduser()) if text else ""

    def _choose(self) -> None:
        found, _ = QFileDialog.getOpenFileName(self, self.tr("Choose a program"), self.path)
        if found:
            self.line.setText(found)

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def retranslate(self) -> None:
        """Name the button."""
        self.button.set_text(self.tr("Look for it"))


class AdapterPicker(QWidget):
    """Check boxes, newest training first; folders from elsewhere join them."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.boxes: dict[str, QCheckBox] = {}
        self._folders: list[str] = []
        self._offered: list[tuple[str, str]] = []
        self.none = label("", "muted", wrap=True)
        self._list = QVBoxLayout()
        self._list.setSpacing(0)
        self.folder_button = Button(kind="link", icon_name="folder-open-outline")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.none)
        column.addLayout(self._list)
        row = QHBoxLayout()
        row.addWidget(self.folder_button)
        row.addStretch(1)
        column.addLayout(row)
        self.folder_button.clicked.connect(self._choose_folder)
        self.retranslate()

    def offer(self, adapters: list[tuple[str, str]]) -> None:
        """(run id, what to show), newest first; what was checked and is still there stays so."""
        self._offered = adapters
        chosen = set(self.chosen)
        clear_layout(self._list)
        self.boxes = {}
        shown = adapters[:_MOST_SHOWN] + [a for a in adapters[_MOST_SHOWN:] if a[0] in chosen]
        for key, text in [*shown, *((f, f) for f in self._folders)]:
            box = QCheckBox(text)
            box.setProperty("verbatim", True)
            box.setChecked(key in chosen)
            box.toggled.connect(self.changed)
            self.boxes[key] = box
            self._list.addWidget(box)
        self.none.setVisible(not self.boxes)

    @property
    def chosen(self) -> list[str]:
        """Run ids and folders, in the order shown."""
        return [key for key, box in self.boxes.items() if box.isChecked()]

    def choose(self, key: str) -> bool:
        """Check one; False when it is not offered."""
        if key not in self.boxes:
            late = [a for a in self._offered if a[0] == key]
            if not late:
                return False
            self.offer([*late, *(a for a in self._offered if a[0] != key)])
        self.boxes[key].setChecked(True)
        return True

    def add_folder(self, folder: str) -> None:
        """An adapter from elsewhere, checked."""
        if folder not in self._folders:
            self._folders.append(folder)
        self.offer(self._offered)
        self.boxes[folder].setChecked(True)
        self.changed.emit()

    def _choose_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(self, self.tr("Folder with an adapter"))
        if found:
            self.add_folder(found)

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def retranslate(self) -> None:
        """All texts."""
        self.none.setText(self.tr("No training of this model has an adapter yet."))
        self.folder_button.set_text(self.tr("Adapter from a folder…"))
