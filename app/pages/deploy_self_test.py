"""Twenty seconds of measuring: what this machine can hold, from physics and from measurement."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from app import messages
from app.i18n import LanguageManager
from app.pages.deploy_words import refused_reason
from app.viewmodels.serve_targets import TARGET_P99_MS, TARGET_QPS
from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.form_row import FormRow
from app.widgets.labels import label, set_role
from app.widgets.progress import Progress
from core.protocol.events import ServeSelfTest
from core.runlog.state import RunState

SECONDS = 20.0
_ROW_PX = 28
_BURST = "burst"
"""`ServeSelfTest.detail` of the round that asks all at once."""
_WIDE = (0, 3, 4, 6)
"""Columns with two figures, or with words."""


class SelfTestCard(Card):
    """`start_asked` carries prompt and answer tokens."""

    start_asked = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._state: RunState | None = None
        self._shown: object = None
        self._busy = False
        self._refused = ""
        self.about = label("", "muted", wrap=True)
        self.prompt_box, self.answer_box = _tokens(128), _tokens(32)
        self.prompt_row, self.answer_row = FormRow(self.prompt_box), FormRow(self.answer_box)
        self.start_button = Button(icon_name="speedometer")
        self.progress = Progress()
        self.status = label("", wrap=True)
        self.verdict = label("", "heading", wrap=True)
        self.physics = label("", "muted", wrap=True)
        self.table = QTableWidget(0, 7)
        self._set_up_table()
        top = QHBoxLayout()
        top.setSpacing(12)
        top.addWidget(self.prompt_row)
        top.addWidget(self.answer_row)
        top.addWidget(self.start_button, 0, Qt.AlignmentFlag.AlignBottom)
        top.addStretch(1)
        self.body.addWidget(self.about)
        self.body.addLayout(top)
        for widget in (self.progress, self.status, self.verdict, self.physics):
            self.body.addWidget(widget)
        self.body.addWidget(self.table, 1000)
        self.body.addStretch(1)  # without a table the rest stays together at the top
        self.start_button.clicked.connect(self._start)
        self.retranslate()
        self._refresh()

    def _set_up_table(self) -> None:
        self.table.setShowGrid(False)
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(_ROW_PX)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for column in _WIDE:
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setHighlightSections(False)
        self.table.setMinimumHeight(150)

    def show_state(self, state: RunState, *, ready: bool, busy: bool) -> None:
        """The newest test; `busy` while the command has no answer, `ready` when one can start."""
        found = state.self_test
        runs = found is not None and found.phase == "running"
        self._busy = busy or runs
        self.start_button.setEnabled(ready and not self._busy)
        for box in (self.prompt_box, self.answer_box):
            box.setEnabled(not self._busy)
        key = (state.self_test_rates, busy, self._refused)
        if key == self._shown:
            return
        self._shown, self._state = key, state
        self._refresh()

    def say_refused(self, detail: str) -> None:
        """The server did not do it."""
        self._refused = detail
        self._shown = None
        self._refresh()

    def _start(self) -> None:
        self._refused = ""
        self.start_asked.emit(self.prompt_box.value(), self.answer_box.value())

    # what is shown

    def _refresh(self) -> None:
        test = self._state.self_test if self._state else None
        rates = self._rates()
        self.progress.setVisible(self._busy)
        self.progress.set_fraction(test.fraction if test and test.phase == "running" else 0.0)
        self.status.setText(self._status(test))
        self.status.setVisible(bool(self.status.text()))
        set_role(self.status, "error" if self._failed(test) else "body")
        done = test if test and test.phase == "done" else None
        self.verdict.setText(self._verdict(done, rates) if done else "")
        self.verdict.setVisible(done is not None)
        self.physics.setText(self._physics(done) if done else "")
        self.physics.setVisible(bool(self.physics.text()))
        self._fill(rates)

    def _rates(self) -> list[ServeSelfTest]:
        found = self._state.self_test_rates if self._state else ()
        return [r for r in found if r.phase == "running" and r.rate_qps > 0]

    def _failed(self, test: ServeSelfTest | None) -> bool:
        return bool(self._refused) or (test is not None and test.phase == "failed")

    def _status(self, test: ServeSelfTest | None) -> str:
        language = LanguageManager.current().language
        if self._refused:
            return self.tr("The server did not start it: {reason}").format(
                reason=refused_reason(self._refused, language)
            )
        if test is not None and test.phase == "failed":
            return self.tr("The test ended early: {reason}").format(
                reason=self._why_ended(test.detail)
            )
        if self._busy:
            if test is None or test.phase != "running" or not test.rate_qps:
                return self.tr("Measuring one answer alone …")
            return self.tr("Offering {rate} requests a second …").format(
                rate=f"{test.rate_qps:.1f}"
            )
        return ""

    def _why_ended(self, detail: str) -> str:
        return {
            "requests are open": self.tr("requests are open; try again when it is quiet."),
            "a request came": self.tr("a client asked for something, and goes first."),
            "the memory is short": self.tr("the memory became short."),
        }.get(detail, detail)

    def _verdict(self, done: ServeSelfTest, rates: list[ServeSelfTest]) -> str:
        workload = self.tr("{prompt} tokens in, {answer} out").format(
            prompt=done.prompt_tokens, answer=done.answer_tokens
        )
        if not done.sustained_qps:
            offered = [r for r in rates if r.detail != _BURST]
            told = (r.latency_p99_ms for r in offered if r.latency_p99_ms is not None)
            slow = next(told, done.latency_p99_ms)
            slowest = f"{slow:,.0f} ms" if slow is not None else "–"
            return self.tr(
                "No rate held P99 under {target} ms with {workload}: the lowest gave {slowest}."
            ).format(target=f"{TARGET_P99_MS:g}", workload=workload, slowest=slowest)
        said = self.tr(
            "This machine holds {rate} requests a second with P99 under {target} ms ({workload})."
        ).format(rate=_rate(done.sustained_qps), target=f"{TARGET_P99_MS:g}", workload=workload)
        if done.sustained_qps >= TARGET_QPS:
            reached = self.tr("The target of {n} is reached.").format(n=f"{TARGET_QPS:g}")
            return messages.sentences_text((said, reached), LanguageManager.current().language)
        return said

    def _physics(self, done: ServeSelfTest) -> str:
        parts = []
        if done.physics_qps is not None:
            parts.append(
                self.tr(
                    "Bandwidth and arithmetic of this machine would allow at most {rate}."
                ).format(rate=_rate(done.physics_qps))
            )
            if done.physics_qps < TARGET_QPS:
                parts.append(
                    self.tr(
                        "So {n} a second are out of reach here with this model and these lengths: "
                        "take a smaller model, shorter answers, or a faster card."
                    ).format(n=f"{TARGET_QPS:g}")
                )
        if done.one_stream_tokens_per_second is not None:
            parts.append(
                self.tr("One answer alone is written at {n} tokens a second.").format(
                    n=f"{done.one_stream_tokens_per_second:,.0f}"
                )
            )
        return messages.sentences_text(parts, LanguageManager.current().language)

    def _fill(self, rates: list[ServeSelfTest]) -> None:
        self.table.setVisible(bool(rates))
        self.table.setRowCount(len(rates))
        for number, rate in enumerate(rates):
            cells = (
                self._rate_name(rate),
                f"{rate.completed:,}",
                f"{rate.refused:,}",
                _pair(rate.ttft_p50_ms, rate.ttft_p99_ms),
                _pair(rate.latency_p50_ms, rate.latency_p99_ms),
                f"{rate.tokens_per_second:,.0f}",
                self._held(rate),
            )
            for column, text in enumerate(cells):
                cell = QTableWidgetItem(text)
                cell.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(number, column, cell)

    def _rate_name(self, rate: ServeSelfTest) -> str:
        if rate.detail == _BURST:
            return self.tr("all at once: {rate}").format(rate=f"{rate.rate_qps:.1f}")
        return f"{rate.rate_qps:.1f}"

    def _held(self, rate: ServeSelfTest) -> str:
        if rate.latency_p99_ms is None or rate.detail == _BURST:
            return "–"  # nobody comes all at once: the round only says where to begin
        held = rate.latency_p99_ms < TARGET_P99_MS and not rate.refused
        return self.tr("✓ held") if held else self.tr("too much")

    # words

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
            self._refresh()
        super().changeEvent(event)

    def retranslate(self) -> None:
        """All texts."""
        self.set_title(self.tr("What can this machine hold?"))
        self.about.setText(
            self.tr(
                "The server asks itself for {n} seconds at rising rates, arriving at random as "
                "many people's would. Nobody is disturbed: the first request of a client ends it."
            ).format(n=f"{SECONDS:g}")
        )
        tokens = self.tr("tokens")
        self.prompt_row.set_texts(self.tr("Prompt"), self.tr("Length of each question."), tokens)
        self.answer_row.set_texts(self.tr("Answer"), self.tr("Length of each answer."), tokens)
        self.start_button.set_text(self.tr("Start the self-test"))
        self.progress.setAccessibleName(self.tr("Self-test"))
        self.table.setAccessibleName(self.tr("Rates of the self-test"))
        titles = [
            self.tr("Requests/s"),
            self.tr("Answered"),
            self.tr("Refused"),
            self.tr("First token P50 / P99"),
            self.tr("Whole P50 / P99"),
            self.tr("tok/s"),
            self.tr("P99 < {n} ms").format(n=f"{TARGET_P99_MS:g}"),
        ]
        for column, title in enumerate(titles):
            item = QTableWidgetItem(title)
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.table.setHorizontalHeaderItem(column, item)


def _tokens(value: int) -> QSpinBox:
    box = QSpinBox()
    box.setRange(1, 32_768)
    box.setValue(value)
    box.setGroupSeparatorShown(True)
    box.setMinimumWidth(110)
    return box


def _pair(first: float | None, second: float | None) -> str:
    def text(value: float | None) -> str:
        return "–" if value is None else f"{value:,.0f}"

    return f"{text(first)} / {text(second)} ms"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
