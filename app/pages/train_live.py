"""A training run being watched: figures, four plots, alarms, answers before and after, result."""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtCore import QEvent, Signal
from PySide6.QtWidgets import QBoxLayout, QVBoxLayout, QWidget

from app import messages
from app.background import Background
from app.i18n import LanguageManager
from app.pages.train_alarm import AlarmView
from app.pages.train_ask import AskCard
from app.pages.train_dry_run import DryRunCard
from app.pages.train_marks import RunMarks, left_branches
from app.pages.train_memory import MemoryCard
from app.pages.train_notes import NotesCard
from app.pages.train_oom import HelpedItselfCard, OutOfMemoryCard
from app.pages.train_result import ResultCard
from app.pages.train_samples import SamplesCard
from app.pages.train_side import AlarmsCard
from app.pages.train_stats import RunStats
from app.viewmodels.train_alarms import scale_text
from app.viewmodels.train_run import TrainRunModel
from app.widgets.card import GAP
from app.widgets.labels import label
from app.widgets.plot_lines import PlotLine
from app.widgets.plot_marks import Limit, Marks
from app.widgets.plot_panel import PlotPanel
from app.widgets.plot_style import DASHES
from app.widgets.plot_ticks import format_value
from app.widgets.scroll_column import ScrollColumn
from core.metrics import RunSeries, Series
from core.protocol.events import AlarmRaised
from core.supervisor import RunView

_SIDE_PX = 264
_NARROW_PX = 1000
_PLOT_LEAST_PX = 196
_MEMORY_LEAST_SHARE = 0.3


class TrainLive(QWidget):
    """Shows what `TrainRunModel` follows."""

    export_requested = Signal(str, object)
    action_requested = Signal(str)
    """"deploy", "chat", "report", "folder", "csv"."""
    rung_chosen = Signal(object)
    """LadderRung: go on after running out of memory."""
    remedy_chosen = Signal(str, object)
    """What to do about an alarm: (Remedy, numbers of samples)."""

    def __init__(
        self, model: TrainRunModel, background: Background, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._model = model
        self._shape: tuple[str, ...] = ()
        self._cards: tuple[int, ...] = ()
        self.strip = RunStats(model)
        self.panel = PlotPanel(["loss", "grad_norm", "learning_rate", "memory"])
        self.marks = RunMarks(self)
        self.ask = AskCard()
        self.alarms = AlarmsCard()
        self.alarm_view = AlarmView(background)
        self.out_of_memory = OutOfMemoryCard()
        self.helped_itself = HelpedItselfCard()
        self.memory = MemoryCard()
        self.dry_run = DryRunCard()
        self.notes = NotesCard()
        self.samples = SamplesCard()
        self.result = ResultCard()
        self._note = label("", "muted", wrap=True)
        self._lay_out()
        self._connect()
        self.retranslate()

    def _lay_out(self) -> None:
        for plot in self.panel.plots.values():
            plot.setMinimumHeight(_PLOT_LEAST_PX)
        self.panel.plots["memory"].least_share = _MEMORY_LEAST_SHARE
        self.panel.plots["grad_norm"].set_log_y(True)
        side = QVBoxLayout()
        side.setContentsMargins(0, 0, 0, 0)
        side.setSpacing(GAP)
        asks = (self.result, self.alarms, self.helped_itself)
        for card in (*asks, self.memory, self.samples, self.dry_run, self.notes):
            side.addWidget(card)
        side.addStretch(1)
        self._side = QWidget()
        self._side.setLayout(side)
        self._side_scroll = ScrollColumn()
        self._side_scroll.setFixedWidth(_SIDE_PX)
        plots = QVBoxLayout()
        plots.setSpacing(6)
        plots.addWidget(self.panel, 1)
        plots.addWidget(self._note)
        self._body = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._body.setContentsMargins(0, 0, 0, 0)
        self._body.setSpacing(GAP)
        self._body.addLayout(plots, 1)
        self._body.addWidget(self._side_scroll)
        self._side_scroll.set_column(self._side)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addWidget(self.ask)
        column.addWidget(self.out_of_memory)
        column.addWidget(self.strip)
        self._watched = QWidget()
        self._watched.setLayout(self._body)
        column.addWidget(self._watched, 1)
        column.addWidget(self.alarm_view, 1)
        self.alarm_view.setVisible(False)

    def _connect(self) -> None:
        self._model.changed.connect(self.refresh)
        self._model.curves_replaced.connect(self._set_curves)
        self.panel.export_requested.connect(self.export_requested)
        self.alarms.step_chosen.connect(self.panel.show_steps)
        self.alarms.opened.connect(self.open_alarm)
        self.ask.opened.connect(self.open_alarm)
        self.ask.remedy_chosen.connect(self._choose_remedy)
        self.alarm_view.closed.connect(self.close_alarms)
        self.alarm_view.step_chosen.connect(self._show_step)
        self.alarm_view.remedy_chosen.connect(self.remedy_chosen)
        self.result.action_requested.connect(self.action_requested)
        self.out_of_memory.rung_chosen.connect(self.rung_chosen)
        self._model.machine_changed.connect(self.memory.show_machine)
        for plot in self.panel.plots.values():
            plot.read_out(alarm_name=self._alarm_name)
        self.panel.plots["learning_rate"].read_out(value_of=self._rate_now)

    # Alarms

    def open_alarm(self, index: int) -> None:
        """Lay an alarm with its batch over the plots."""
        if self._model.view is None:
            return
        self._watched.setVisible(False)
        self.alarm_view.setVisible(True)
        self._refresh_alarms(self._model.view)
        self.alarm_view.open_alarm(index)

    def close_alarms(self) -> None:
        """Back to the plots."""
        self.alarm_view.setVisible(False)
        self._watched.setVisible(True)
        if self._model.view is not None:
            self._refresh_alarms(self._model.view)

    def _show_step(self, step: int) -> None:
        self.close_alarms()
        self.panel.show_steps(step)

    def _choose_remedy(self, remedy: str) -> None:
        self.remedy_chosen.emit(remedy, [])

    def _refresh_alarms(self, view: RunView) -> None:
        waiting = self._model.asked is not None
        self.ask.show_run(view, waiting=waiting)
        if not self.alarm_view.isHidden():
            self.ask.hide()  # the same answers stand beside the batch
            self.alarm_view.show_run(view, waiting=waiting)

    # Room

    def set_room(self, width: int) -> None:
        """The page is so many pixels wide: on a narrow one the cards go under the plots.

        The page says it, for this widget never becomes narrower than plots and cards together.
        """
        narrow = width < _NARROW_PX
        self.strip.set_narrow(narrow)
        directions = QBoxLayout.Direction
        self._body.setDirection(directions.TopToBottom if narrow else directions.LeftToRight)
        self._free_side(narrow)

    def _free_side(self, free: bool) -> None:
        """Beside the plots the cards scroll by themselves, so that long answers push no plot out
        of view; under the plots they scroll with the page.
        """
        if free == self._side_scroll.isHidden():
            return
        if free:
            self._side_scroll.takeWidget()
            self._body.addWidget(self._side)
        else:
            self._body.removeWidget(self._side)
            self._side_scroll.set_column(self._side)
        self._side_scroll.setHidden(free)
        self._side.show()

    # Curves

    def _set_curves(self) -> None:
        run = self._model.series
        if run is None:
            return
        self._cards = tuple(self._model.gpu_memory)
        self._set_lines(run)
        if self.panel.axis.runs != [run]:
            self.close_alarms()  # they are another run's
            self.panel.axis.planned_steps = None
            self.panel.axis.set_runs([run])
            self.panel.table.set_run(run)

    def _set_lines(self, run: RunSeries) -> None:
        plots, marks = self.panel.plots, partial(Marks, run, told=self.marks)
        loss = self._line(run, "loss", self.tr("training"))
        plots["loss"].set_lines([loss, *self._eval_lines(run)], marks(checkpoints=True))
        norm = self._line(run, "grad_norm", self.tr("norm"))
        plots["grad_norm"].set_lines([norm], marks())
        rate = self._line(run, "learning_rate", self.tr("rate"), smooth=False)
        plots["learning_rate"].set_lines([rate], marks(alarms=False, rates=True))
        plots["memory"].set_lines(self._memory_lines(run), marks(alarms=False))
        self._set_limits()

    def _line(self, run: RunSeries, name: str, text: str, *, smooth: bool = True) -> PlotLine:
        series: Series = getattr(run, name)
        left = partial(left_branches, run, name)
        return PlotLine(series, run, name, text, smooth=smooth, left=left)

    def _rate_now(self) -> tuple[str, str]:
        """The rate with what it was scaled by, so that a cut is not taken for the schedule."""
        view = self._model.view
        last = view.series.learning_rate.last if view else None
        if view is None or last is None:
            return "", ""
        scale = view.state.lr_scale
        return format_value(last[1]), "" if abs(scale - 1) < 1e-6 else f"× {scale_text(scale)}"

    def _eval_lines(self, run: RunSeries) -> list[PlotLine]:
        language = LanguageManager.current().language
        return [
            PlotLine(
                series,
                run,
                "evaluation",
                self.tr("eval {split}").format(split=messages.split_text(split, language)),
                bold=True,
                dash=DASHES[number % len(DASHES)],
            )
            for number, (split, series) in enumerate(run.eval_loss.items())
        ]

    def _memory_lines(self, run: RunSeries) -> list[PlotLine]:
        lines = []
        several = len(self._model.gpu_memory) > 1
        for number, (index, series) in enumerate(self._model.gpu_memory.items()):
            name = self.tr("card {index}").format(index=index) if several else self.tr("card")
            lines.append(PlotLine(series, run, "memory", name, dash=DASHES[number % len(DASHES)]))
        held = self.tr("this run")
        if len(run.reserved_gib):
            lines.append(PlotLine(run.reserved_gib, run, "series:1", self.tr("reserved")))
            held = self.tr("in use")
        role = "allocated" if lines else "memory"
        left = partial(left_branches, run, "memory_gib")
        lines.append(PlotLine(run.memory_gib, run, role, held, left=left))
        return lines

    def _set_limits(self) -> None:
        view = self._model.view
        if view is None:
            return
        clip = float(_spec(view).get("max_grad_norm") or 0)
        text = self.tr("clip {value}").format(value=f"{clip:g}")
        self.panel.plots["grad_norm"].set_limits([Limit(clip, text)] if clip else [])
        self.panel.plots["memory"].set_limits(self._memory_limits(view))

    def _memory_limits(self, view: RunView) -> list[Limit]:
        totals = sorted(set(self._model.gpu_total_gib.values())) if self._cards else []
        if totals:
            text = self.tr("card {gib} GiB")
            return [Limit(gib, text.format(gib=f"{gib:.0f}")) for gib in totals]
        plan = view.state.plan
        if plan is None or plan.memory_limit_gib is None:
            return []
        gib = plan.memory_limit_gib
        text = self.tr("card {gib} GiB") if _on_card(view) else self.tr("machine {gib} GiB")
        return [Limit(gib, text.format(gib=f"{gib:.0f}"))]

    # Figures

    def refresh(self) -> None:
        """Take the newest view over."""
        view = self._model.view
        if view is None:
            return
        shape = (*view.series.eval_loss, *(("reserved",) if len(view.series.reserved_gib) else ()))
        if self._shape != shape:
            self._shape = shape
            self._set_lines(view.series)
        self._set_limits()
        axis = self.panel.axis
        axis.live = view.alive or not view.caught_up
        axis.planned_steps = view.state.plan.total_steps if view.state.plan else None
        self.marks.show_state(view.state)
        self.panel.data_changed()
        self._refresh_alarms(view)
        self.strip.show_run(view)
        self._show_note(view)
        self.alarms.show_alarms(view.state)
        self.samples.show_samples(view.state.samples)
        self.out_of_memory.show_run(view)
        self.helped_itself.show_run(view)
        self.memory.show_run(view)
        self.dry_run.show_tried(view.state.dry_run)
        self.notes.show_plan(view.state.plan)
        self.result.show_run(view)

    def _show_note(self, view: RunView) -> None:
        """Why the memory plot shows what it shows."""
        memory = self.panel.plots["memory"]
        on_card = _on_card(view) or bool(self._cards)
        memory.set_title(self.tr("GPU memory") if on_card else self.tr("Memory of the run"))
        text = ""
        if not on_card and self._model.gpu_reason:
            reason = messages.gpu_reason_text(
                self._model.gpu_reason, LanguageManager.current().language
            )
            text = self.tr("{reason} The plot shows the memory of the training process.").format(
                reason=reason
            )
        if self._note.text() != text:
            self._note.setText(text)
            self._note.setVisible(bool(text))
            memory.setToolTip(text)

    def _alarm_name(self, alarm: str) -> str:
        language = LanguageManager.current().language
        return messages.alarm_text(AlarmRaised(alarm=alarm), language).title

    # Texts

    def retranslate(self) -> None:
        """All texts in the language that is on."""
        self.panel.plots["loss"].set_title(self.tr("Loss"))
        self.panel.plots["grad_norm"].set_title(self.tr("Gradient norm"))
        self.panel.plots["learning_rate"].set_title(self.tr("Learning rate"))
        self.panel.plots["memory"].set_title(self.tr("Memory of the run"))
        if self._model.series is not None:
            self._set_lines(self._model.series)
            self.refresh()

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)


def _spec(view: RunView) -> dict[str, Any]:
    found = view.document.get("spec")
    return found if isinstance(found, dict) else {}


def _on_card(view: RunView) -> bool:
    return bool(view.state.plan and view.state.plan.memory_source == "cuda")
