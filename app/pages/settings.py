"""Settings: language, scheme, defaults, the data folder, the API key."""

from __future__ import annotations

import platform

from PySide6.QtCore import QUrl, qVersion
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QVBoxLayout,
)

from app.pages.base import AppContext, Page
from app.widgets.buttons import Button
from app.widgets.card import GAP, Card
from app.widgets.copy_field import CopyField
from app.widgets.form_row import FactList, FormRow
from app.widgets.labels import label
from core.secrets import new_api_key
from core.services.documents import own_version


class SettingsPage(Page):
    """Every change is saved at once."""

    page_id = "settings"

    def __init__(self, ctx: AppContext) -> None:
        super().__init__(ctx)
        self.dialog: QMessageBox | None = None
        self.language_box = self._combo("language", ["system", "en", "zh_CN"])
        self.scheme_box = self._combo("scheme", ["system", "light", "dark"])
        self.precision_box = self._combo("precision", ["auto", "bf16", "fp16", "fp32"])
        self.close_box = self._combo("on_close", ["ask", "leave", "stop"])
        self.notify_box = QCheckBox()
        self.notify_box.toggled.connect(self._set_notify)
        self.rows = {
            key: FormRow(field, key=key)
            for key, field in (
                ("language", self.language_box),
                ("scheme", self.scheme_box),
                ("precision", self.precision_box),
                ("on_close", self.close_box),
            )
        }
        self.key_field = CopyField(secret=True)
        self.home_field = CopyField()
        self.renew_button = Button(kind="danger", icon_name="key-change")
        self.renew_button.clicked.connect(self._ask_renew)
        self.open_button = Button(icon_name="folder-open-outline")
        self.open_button.clicked.connect(self._open_home)
        self.about = FactList()
        self._build()
        ctx.settings.changed.connect(self._setting_changed)

    def on_shown(self, args: dict[str, object]) -> None:
        """Show what is set."""
        self._show_values()
        self.home_field.set_text(str(self.ctx.services.home.root))
        self.attempt(lambda: self.key_field.set_text(self.ctx.services.serve.api_key()))

    def retranslate(self) -> None:
        """Every text of the page."""
        self.set_title(self.tr("Settings"))
        self.set_facts(self.tr("Changes are saved at once."))
        self._look_card.set_title(self.tr("Window"))
        self._work_card.set_title(self.tr("Run defaults"))
        self._home_card.set_title(self.tr("Data folder"))
        self._key_card.set_title(self.tr("API key"))
        self._about_card.set_title(self.tr("About"))
        self._translate_rows()
        self._translate_choices()
        self._translate_places()
        self._show_values()

    def _translate_rows(self) -> None:
        self.rows["language"].set_texts(self.tr("&Language"), self.tr("Changes at once."))
        self.rows["scheme"].set_texts(self.tr("&Colors"), self.tr("Light, dark, or as the system."))
        self.rows["precision"].set_texts(
            self.tr("&Precision of new runs"),
            self.tr(
                "bf16 needs a card that has it; fp32 works everywhere and takes twice the memory."
            ),
            help_visible=True,
        )
        self.rows["on_close"].set_texts(
            self.tr("When the window is closed while runs are at &work"),
            self.tr("Runs are processes of their own and can go on without the window."),
            help_visible=True,
        )
        self.notify_box.setText(self.tr("Say when a run ends or raises an &alarm"))
        self.notify_box.setAccessibleName(self.notify_box.text().replace("&", ""))
        self.notify_box.setToolTip(self.tr("At the top of the window, on whatever page you are"))

    def _translate_choices(self) -> None:
        _name(self.language_box, [self.tr("As the system"), "English", "简体中文"])
        _name(self.scheme_box, [self.tr("As the system"), self.tr("Light"), self.tr("Dark")])
        _name(self.precision_box, [self.tr("Choose by the machine"), "bf16", "fp16", "fp32"])
        _name(
            self.close_box,
            [self.tr("Ask"), self.tr("Leave them running"), self.tr("Stop and save them")],
        )

    def _translate_places(self) -> None:
        self.home_field.set_name(self.tr("data folder"))
        self._home_text.setText(
            self.tr(
                "Runs, models, datasets and settings are kept here and nowhere else. To use "
                "another folder, set DEEPDECK_HOME before the start."
            )
        )
        self.open_button.set_text(self.tr("Open folder"))
        self.key_field.set_name(self.tr("API key"))
        self._key_text.setText(
            self.tr(
                "Programs that use your local API send this key. It never leaves this computer."
            )
        )
        self.renew_button.set_text(self.tr("Renew key…"))
        self.about.set_facts(
            [
                (self.tr("Version"), own_version()),
                (self.tr("License"), "Apache-2.0"),
                ("Python", platform.python_version()),
                ("Qt", qVersion() or ""),
            ]
        )

    def _build(self) -> None:
        self._look_card, self._work_card = Card(), Card()
        self._home_card, self._key_card, self._about_card = Card(), Card(), Card()
        self._look_card.body.addWidget(self.rows["language"])
        self._look_card.body.addWidget(self.rows["scheme"])
        self._work_card.body.addWidget(self.rows["precision"])
        self._work_card.body.addWidget(self.rows["on_close"])
        self._work_card.body.addWidget(self.notify_box)
        self._home_text = label("", "muted", wrap=True)
        self._key_text = label("", "muted", wrap=True)
        _place(self._home_card, self._home_text, self.home_field, self.open_button)
        _place(self._key_card, self._key_text, self.key_field, self.renew_button)
        self._about_card.body.addWidget(self.about)
        grid = QGridLayout()
        grid.setSpacing(GAP)
        for column, cards in enumerate(
            (
                (self._look_card, self._work_card),
                (self._home_card, self._key_card, self._about_card),
            )
        ):
            stack = QVBoxLayout()
            stack.setSpacing(GAP)
            for card in cards:
                stack.addWidget(card)
            stack.addStretch(1)
            grid.addLayout(stack, 0, column)
            grid.setColumnStretch(column, 1)
        self.content.addLayout(grid)
        self.content.addStretch(1)

    def _combo(self, key: str, values: list[str]) -> QComboBox:
        box = QComboBox()
        box.setProperty("setting", key)
        for value in values:
            box.addItem(value, value)
        box.activated.connect(self._chosen)
        return box

    def _chosen(self, _index: int) -> None:
        box = self.sender()
        if isinstance(box, QComboBox):
            self.ctx.settings.change(**{str(box.property("setting")): box.currentData()})

    def _set_notify(self, wanted: bool) -> None:
        self.ctx.settings.change(notify=wanted)

    def _setting_changed(self, name: str) -> None:
        value = self.ctx.settings.value
        if name == "language":
            self.ctx.language.set_choice(value.language)
        elif name == "scheme":
            self.ctx.theme.set_preference(value.scheme)
        self._show_values()

    def _show_values(self) -> None:
        value = self.ctx.settings.value
        for box in (self.language_box, self.scheme_box, self.precision_box, self.close_box):
            wanted = getattr(value, str(box.property("setting")))
            box.setCurrentIndex(max(0, box.findData(wanted)))
        self.notify_box.setChecked(value.notify)

    def _open_home(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.ctx.services.home.root)))

    def _ask_renew(self) -> None:
        box = QMessageBox(self)
        box.setWindowTitle(self.tr("Renew key"))
        box.setText(self.tr("Make a new API key?"))
        box.setInformativeText(
            self.tr(
                "Programs need the new key once the API is started again. The old one cannot "
                "be brought back."
            )
        )
        self._renew = box.addButton(self.tr("Renew key"), QMessageBox.ButtonRole.AcceptRole)
        keep = box.addButton(self.tr("Keep the key"), QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(keep)
        box.setEscapeButton(keep)
        box.buttonClicked.connect(self._renew_answered)
        self.dialog = box
        box.open()

    def _renew_answered(self, button: QAbstractButton) -> None:
        if button is self._renew and self.attempt(self._make_key):
            self.ctx.notify(self.tr("The API has a new key from its next start on."), "ok")

    def _make_key(self) -> None:
        self.key_field.set_text(new_api_key(self.ctx.services.home))


def _name(box: QComboBox, names: list[str]) -> None:
    for number, text in enumerate(names):
        box.setItemText(number, text)


def _place(card: Card, text: QLabel, field: CopyField, button: Button) -> None:
    card.body.addWidget(text)
    card.body.addWidget(field)
    row = QHBoxLayout()
    row.addWidget(button)
    row.addStretch(1)
    card.body.addLayout(row)
