"""One model in full: what its files say, what is wrong with it, what can be done with it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app import messages
from app.i18n import LanguageManager
from app.text import count_text, parameters_text, size_text
from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.form_row import FactList
from app.widgets.labels import ElidedLabel, label
from app.widgets.notice_card import ErrorCard
from app.widgets.progress import Progress
from app.widgets.status_chip import StatusChip
from core.catalog import ModelInfo
from core.supervisor import RunView


class ModelDetails(Card):
    """Signals carry nothing: the page knows which model is shown."""

    train_asked = Signal()
    deploy_asked = Signal()
    fetch_asked = Signal()
    cancel_asked = Signal()
    verify_asked = Signal()
    forget_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.model: ModelInfo | None = None
        self._fetch: RunView | None = None
        self.name = ElidedLabel("", "heading")
        self.chip = StatusChip()
        self.summary = label("", "muted", wrap=True)
        self.problem = ErrorCard()
        self.facts = FactList()
        self.progress = Progress()
        self.progress_text = label("", "muted", wrap=True)
        self.train_button = Button(kind="primary", icon_name="chart-line")
        self.deploy_button = Button(icon_name="rocket-launch-outline")
        self.fetch_button = Button(kind="primary", icon_name="download")
        self.cancel_button = Button(kind="danger", icon_name="stop")
        self.verify_button = Button(icon_name="shield-check-outline")
        self.forget_button = Button(icon_name="playlist-remove")
        self._build()
        self._connect()
        self._retranslate()

    def _build(self) -> None:
        top = QHBoxLayout()
        top.addWidget(self.name)
        top.addWidget(self.chip)
        top.addStretch(1)
        self.body.addLayout(top)
        for widget in (self.summary, self.problem, self.progress_text, self.progress):
            self.body.addWidget(widget)
        self.body.addWidget(self._buttons())
        self.body.addWidget(self.facts)
        self.body.addStretch(1)

    def _buttons(self) -> QWidget:
        holder = QWidget()
        row = QHBoxLayout(holder)
        row.setContentsMargins(0, 4, 0, 8)
        for button in (
            self.train_button,
            self.deploy_button,
            self.fetch_button,
            self.cancel_button,
            self.verify_button,
            self.forget_button,
        ):
            row.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)
        row.addStretch(1)
        return holder

    def _connect(self) -> None:
        self.train_button.clicked.connect(self.train_asked)
        self.deploy_button.clicked.connect(self.deploy_asked)
        self.fetch_button.clicked.connect(self.fetch_asked)
        self.cancel_button.clicked.connect(self.cancel_asked)
        self.verify_button.clicked.connect(self.verify_asked)
        self.forget_button.clicked.connect(self.forget_asked)

    def show_model(self, model: ModelInfo | None, fetch: RunView | None = None) -> None:
        """Show a model, and the fetch of it that is at work or failed, if there is one."""
        self.model, self._fetch = model, fetch
        self.setVisible(model is not None)
        if model is not None:
            self._show(model)

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()
        super().changeEvent(event)

    def _retranslate(self) -> None:
        self.train_button.set_text(self.tr("Fine-tune"))
        self.deploy_button.set_text(self.tr("Deploy"))
        self.fetch_button.set_text(self.tr("Fetch"))
        self.cancel_button.set_text(self.tr("Stop fetching"), self.tr("What arrived is kept"))
        self.verify_button.set_text(self.tr("Verify"), self.tr("Checks every file again"))
        self.forget_button.set_text(
            self.tr("Take off the list"), self.tr("The files stay where they are")
        )
        if self.model is not None:
            self._show(self.model)

    def _show(self, model: ModelInfo) -> None:
        language = LanguageManager.current().language
        fetching = self._fetch is not None and self._fetch.alive
        self.name.set_full_text(model.name)
        self.summary.setText(model.summary.get(language) or model.summary.get("en", ""))
        self.summary.setVisible(bool(self.summary.text()))
        self._show_problem(model)
        self._show_state(model, fetching=fetching)
        self._show_progress(fetching=fetching)
        self.facts.set_facts(self._fact_list(model))

    def _show_problem(self, model: ModelInfo) -> None:
        error = model.problem
        if error is None and self._fetch is not None and not self._fetch.alive:
            error = self._fetch.error
        if error is None:
            self.problem.clear()
        else:
            self.problem.show_error(error)

    def _show_state(self, model: ModelInfo, *, fetching: bool) -> None:
        usable = model.fetched and model.problem is None
        fetchable = model.source == "catalogue" and not usable and not fetching
        if fetching:
            self.chip.set_state(self.tr("fetching"), "accent")
        elif model.problem is not None:
            self.chip.set_state(self.tr("unusable"), "error")
        elif usable:
            self.chip.set_state(self.tr("ready"), "ok")
        else:
            self.chip.set_state(self.tr("not fetched"), "neutral")
        self.train_button.setVisible(usable)
        self.deploy_button.setVisible(usable)
        self.verify_button.setVisible(model.fetched)
        self.fetch_button.setVisible(fetchable)
        self.cancel_button.setVisible(fetching)
        self.forget_button.setVisible(model.source == "user")

    def _show_progress(self, *, fetching: bool) -> None:
        self.progress.setVisible(fetching)
        self.progress_text.setVisible(fetching)
        if not fetching or self._fetch is None:
            return
        state = self._fetch.state
        language = LanguageManager.current().language
        words = messages.phase_text(state.phase, language)
        fraction = state.phase_fraction
        if (done := state.download) is not None and done.bytes_total:
            fraction = done.bytes_done / done.bytes_total
            words += f" • {size_text(done.bytes_done)} / {size_text(done.bytes_total)}"
        self.progress.set_fraction(fraction)
        self.progress.setAccessibleName(words)
        self.progress_text.setText(words)

    def _fact_list(self, model: ModelInfo) -> list[tuple[str, str]]:
        language = LanguageManager.current().language
        parameters = parameters_text(model.parameters) if model.parameters else ""
        if model.parameters and model.active_parameters not in (None, model.parameters):
            active = parameters_text(model.active_parameters or 0)
            parameters += self.tr(", {active} active a token").format(active=active)
        context = self.tr("{count} tokens").format(count=count_text(model.context_tokens or 0))
        return [
            (self.tr("Architecture"), model.architecture),
            (self.tr("Parameters"), parameters),
            (self.tr("Size"), size_text(model.size_bytes) if model.size_bytes else ""),
            (self.tr("Number format"), model.dtype),
            (self.tr("Context"), context if model.context_tokens else ""),
            (self.tr("Vocabulary"), count_text(model.vocab_size) if model.vocab_size else ""),
            (
                self.tr("Languages"),
                ("、" if language == "zh" else ", ").join(
                    messages.language_text(c, language) for c in model.languages
                ),
            ),
            (self.tr("License"), model.licence),
            (self.tr("Chat template"), self.tr("yes") if model.has_chat_template else ""),
            (self.tr("File format"), model.format if model.fetched else ""),
            (self.tr("From"), messages.source_text(model.source, language)),
            (self.tr("Folder"), str(model.path or "")),
        ]


def two_columns(left: QWidget, right: QWidget, left_width: int) -> QHBoxLayout:
    """A list at the left, the details of what is chosen at the right."""
    row = QHBoxLayout()
    row.setSpacing(12)
    left.setFixedWidth(left_width)
    row.addWidget(left)
    column = QVBoxLayout()
    column.addWidget(right)
    row.addLayout(column, 1)
    return row
