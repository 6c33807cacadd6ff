"""Train: a form before, live plots during, the result after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QResizeEvent
from PySide6.QtWidgets import QWidget

from app import messages
from app.pages.base import AppContext, Page
from app.pages.deploy_busy import CardQuestion
from app.pages.train_controls import RunControls
from app.pages.train_export import ExportDialog
from app.pages.train_facts import RunFacts
from app.pages.train_form import TrainForm
from app.pages.train_live import TrainLive
from app.pages.train_oom import waits_for_memory
from app.texts.refusals import refusal_text
from app.theme.tokens import Tone
from app.viewmodels.train_alarms import Remedy
from app.viewmodels.train_result import listed_model
from app.viewmodels.train_run import TrainRunModel
from app.widgets.buttons import Button
from app.widgets.metric_plot import MetricPlot
from app.widgets.plot_export import free_path, save_png, save_svg
from app.widgets.status_chip import STATUS_TONES
from core.config.train import TrainSpec
from core.errors import AppError, ErrorInfo
from core.protocol.events import LadderRung
from core.queue import QueueItem
from core.services.queue import QueueService
from core.services.serve_arbiter import Conflict, Holder, ServeArbiter
from core.services.train import TrainPlanPreview, TrainService
from core.supervisor import RunView


class TrainPage(Page):
    """`navigate("train", run_id=...)` shows a run; `model=` and `data=` fill the form."""

    page_id: ClassVar[str] = "train"

    def __init__(self, ctx: AppContext) -> None:
        super().__init__(ctx)
        self.model = TrainRunModel(ctx.services, ctx.bridge, self)
        self.form = TrainForm(ctx)
        self.live = TrainLive(self.model, ctx.background)
        # No stacked widget: it would be as tall as the taller of the two.
        self.content.addWidget(self.form, 1)
        self.content.addWidget(self.live, 1)
        self.live.setVisible(False)
        self.run_facts = RunFacts(self)
        self.question = CardQuestion(ctx, self)
        self.export_dialog: ExportDialog | None = None
        self._error_of = ""
        self._make_actions()
        self._connect()

    def _make_actions(self) -> None:
        self.queue_button = self.add_action(self.form.queue_button)
        self.start_button = self.add_action(self.form.start_button)
        self.new_button = self.add_action(Button(icon_name="plus"))
        self.controls = RunControls(self.model, self._ask)
        self.header_actions.addWidget(self.controls)

    def _connect(self) -> None:
        self.model.changed.connect(self._refresh)
        self.form.start_asked.connect(self._start)
        self.form.queue_asked.connect(self._queue)
        self.form.queue_card.failed.connect(self.show_error)
        self.form.queue_card.opened.connect(self.show_run)
        self.form.failed.connect(self.show_error)
        self.live.export_requested.connect(self._export)
        self.live.action_requested.connect(self._act)
        self.live.rung_chosen.connect(self._take_rung)
        self.live.remedy_chosen.connect(self._apply_remedy)
        self.model.refused.connect(self._say_refused)
        self.question.failed.connect(self.show_error)
        self.new_button.clicked.connect(self.show_form)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Arrange for the width that there is."""
        super().resizeEvent(event)
        self.live.set_room(self.width())

    # What is shown

    def on_shown(self, args: dict[str, object]) -> None:
        """A run by id, else a filled form, else what lives, else what was there."""
        if run_id := args.get("run_id"):
            self.show_run(str(run_id))
        elif "model" in args or "data" in args:
            self.show_form()
            self.form.choose(model=_text(args.get("model")), data=_text(args.get("data")))
        elif self.model.view is None and (living := self._living()) is not None:
            self.show_run(living)
        elif self.model.view is None:
            self.show_form()

    def show_run(self, run_id: str) -> None:
        """Watch a run, living or not."""
        if self.attempt(lambda: self.model.attach(run_id)):
            self._show_live()

    def show_form(self) -> None:
        """Prepare another run."""
        self.error_card.clear()
        self.form.refresh_choices()
        self._bring(self.form)
        self._refresh()

    def _show_live(self) -> None:
        self._bring(self.live)
        self._refresh()
        self.live.refresh()

    def _bring(self, shown: QWidget) -> None:
        for widget in (self.form, self.live):
            widget.setVisible(widget is shown)

    def _living(self) -> str | None:
        found = (s for s in self.ctx.services.runs.list() if s.job == "train" and s.alive)
        return next((s.run_id for s in found), None)

    @property
    def showing_run(self) -> bool:
        """The live view is in front."""
        return not self.live.isHidden() and self.model.view is not None

    @property
    def shown_run_id(self) -> str:
        """The run of the live view."""
        return self.model.view.run_id if self.showing_run and self.model.view else ""

    # Header

    def retranslate(self) -> None:
        """All texts of the header."""
        self.new_button.set_text(self.tr("New run"))
        self._refresh()

    def _refresh(self) -> None:
        view = self.model.view if self.showing_run else None
        self._show_actions(view)
        if view is None:
            self.set_title(self.tr("Train"))
            self.chip.set_state("")
            self.set_facts(self.tr("Fine-tune a model on your own data."))
            return
        self.set_title(str(view.document.get("name") or view.run_id))
        self.chip.set_state(*self._state(view))
        self.set_facts(*self.run_facts.facts(view))
        self._show_end_error(view)

    def _show_actions(self, view: RunView | None) -> None:
        alive = view is not None and view.alive
        self.start_button.setVisible(view is None)
        self.queue_button.setVisible(view is None)
        self.new_button.setVisible(view is not None and not alive)
        self.controls.show_run(view)

    def _state(self, view: RunView) -> tuple[str, Tone]:
        language = self.ctx.language.language
        if view.stopping and view.alive:
            return messages.stop_rung_text(view.stopping, language), "warning"
        if self.model.paused:
            return messages.status_text("paused", language), "warning"
        status = view.status
        text = messages.status_text(status, language)
        phase = view.state.phase
        if view.alive and phase and phase != "training":
            text = messages.phase_text(phase, language)
        return text, STATUS_TONES.get(status, "neutral")

    def _show_end_error(self, view: RunView) -> None:
        """A failed or lost run says why, once, until the card is dismissed."""
        error = view.problem or view.error
        key = f"{view.run_id} {error.code} {error.params}" if error else ""
        if waits_for_memory(view) is not None:
            self.error_card.clear()  # a card of its own tells it, and what helps
        elif error is not None and key != self._error_of:
            self.show_error(error, view.verdict.log_tail if view.verdict else "")
        self._error_of = key

    # Actions

    def _start(self, spec: TrainSpec) -> None:
        """Check model and data beside the window (a large file takes seconds), then start."""
        self.error_card.clear()
        self._error_of = ""
        self.start_button.setEnabled(False)
        self.set_facts(self.tr("Checking the model and the data …"))
        service = self.ctx.services.train
        arbiter = self.ctx.services.arbiter
        self.ctx.background.run(
            self,
            lambda: _checked_with_card(service, arbiter, spec),
            lambda found: self._start_checked(*found),
            self._could_not_check,
        )

    def _start_checked(
        self,
        found: TrainPlanPreview | AppError,
        conflict: Conflict | None = None,
        slowed: tuple[Holder, ...] = (),
    ) -> None:
        self.start_button.setEnabled(True)
        self._refresh()
        if isinstance(found, AppError):
            self.form.show_problems(found)
        elif conflict is None:
            self.question.say_slowed(slowed)
            self._begin(found)
        else:  # an API is on the card: the user says what becomes of it
            self.question.ask(
                conflict,
                start=lambda _changes: self._begin(found),
                wait=lambda: self._queue(found.spec, alone=True),
                for_training=True,
            )

    def _begin(self, found: TrainPlanPreview) -> None:
        try:
            self.model.follow(self.ctx.services.train.start(found.spec, found))
        except AppError as e:
            self.form.show_problems(e)
            return
        self._show_live()

    def _queue(self, spec: TrainSpec, *, alone: bool = False) -> None:
        """Check it now, so that it does not fail in the night, and let it wait for a card."""
        self.error_card.clear()
        self.queue_button.setEnabled(False)
        self.set_facts(self.tr("Checking the model and the data …"))
        service = self.ctx.services.queue
        self.ctx.background.run(
            self, lambda: _queued(service, spec, alone), self._queued, self._could_not_check
        )

    def _queued(self, found: QueueItem | AppError) -> None:
        self.queue_button.setEnabled(True)
        self._refresh()
        if isinstance(found, AppError):
            self.form.show_problems(found)
            return
        self.form.queue_card.refresh()
        self.ctx.notify(self.tr("{name} waits in the queue").format(name=found.name), "ok")

    def _could_not_check(self, error: ErrorInfo) -> None:
        self.start_button.setEnabled(True)
        self.queue_button.setEnabled(True)
        self._refresh()
        self.show_error(error)

    def _ask(self, action: Callable[[], object]) -> bool:
        """What a button of the header asks of the run."""
        self._error_of = ""
        return self.attempt(action)

    def _apply_remedy(self, remedy: Remedy, samples: list[int]) -> None:
        self.attempt(lambda: self.model.apply_remedy(remedy, samples))

    def _take_rung(self, rung: LadderRung) -> None:
        self._ask(lambda: self.model.resume(rung.changes))

    def _say_refused(self, command: str, detail: str) -> None:
        reason = refusal_text(detail or command, self.ctx.language.language)
        said = self.tr("The run did not do it. {reason}").format(reason=reason)
        self.ctx.notify(said, "warning")

    def _act(self, action: str) -> None:
        actions: dict[str, Callable[[], None]] = {
            "deploy": self._deploy,
            "chat": self._chat,
            "merge": self._merge,
            "capsule": self._capsule,
            "report": self._report,
            "csv": self._export_csv,
            "folder": self._open_folder,
        }
        actions[action]()

    def _deploy(self) -> None:
        self._use("deploy")

    def _chat(self) -> None:
        self._use("chat")

    def _use(self, page_id: str) -> None:
        """An adapter beside its base model, or the whole model that was trained."""
        view = self.model.view
        if view is None:
            return
        if view.run.model.is_dir():
            name = str(view.document.get("name") or view.run_id)
            self.attempt(lambda: self._use_model(page_id, view.run.model, name))
            return
        spec = view.document.get("spec") or {}
        self.ctx.navigate(page_id, model=str(spec.get("model", "")), adapter=view.run_id)

    def _use_model(self, page_id: str, path: Path, name: str) -> None:
        self.ctx.navigate(page_id, model=listed_model(self.ctx.services.models, path, name))

    def _merge(self) -> None:
        view = self.model.view
        if view is not None:
            self.export_dialog = ExportDialog(self.ctx, view, self)
            self.export_dialog.finished.connect(self.export_dialog.deleteLater)
            self.export_dialog.open()

    def _capsule(self) -> None:
        from core.services.capsule import export_capsule  # seldom asked for

        view = self.model.view
        if view is not None:
            run = view.run
            self.ctx.background.run(
                self, lambda: export_capsule(run), self._say_saved, self.show_error
            )

    def _open_folder(self) -> None:
        if self.model.view is not None:
            _open(self.model.view.run.path)

    # Files

    def _export(self, kind: str, plot: MetricPlot | None) -> None:
        if kind == "csv":
            self._export_csv()
        elif self.model.view is not None:
            self.attempt(lambda: self._save_picture(kind, plot))

    def _save_picture(self, kind: str, plot: MetricPlot | None) -> None:
        view = self.model.view
        assert view is not None
        path = free_path(view.run.exports, plot.name if plot else "plots", f".{kind}")
        save = save_svg if kind == "svg" else save_png
        self._say_saved(save(plot or self.live.panel.grid, path))

    def _export_csv(self) -> None:
        view = self.model.view
        if view is not None:
            run_id, service = view.run_id, self.ctx.services.runs
            self.ctx.background.run(
                self, lambda: service.export_csv(run_id), self._say_saved, self.show_error
            )

    def _report(self) -> None:
        view = self.model.view
        if view is not None:
            run_id, service = view.run_id, self.ctx.services.runs
            self.ctx.background.run(self, lambda: service.report(run_id), _open, self.show_error)

    def _say_saved(self, path: Path) -> None:
        self.ctx.notify(
            self.tr("Saved {name}").format(name=path.name),
            "ok",
            action=self.tr("Open the folder"),
            on_action=lambda: _open(path.parent),
        )


def _open(path: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))


def _text(value: object) -> str | None:
    return str(value) if value else None


def _queued(service: QueueService, spec: TrainSpec, alone: bool) -> QueueItem | AppError:
    """The entry, or all that is wrong with the spec."""
    try:
        return service.add(spec, alone=alone)
    except AppError as e:
        return e


def _checked(service: TrainService, spec: TrainSpec) -> TrainPlanPreview | AppError:
    """The plan, or all that is wrong with the spec: an error with its list of problems."""
    try:
        return service.prepare(spec)
    except AppError as e:
        return e


def _checked_with_card(
    service: TrainService, arbiter: ServeArbiter, spec: TrainSpec
) -> tuple[TrainPlanPreview | AppError, Conflict | None, tuple[Holder, ...]]:
    """The same, the API that holds the card, and those that share the processor with it."""
    plan = _checked(service, spec)
    if isinstance(plan, AppError):
        return plan, None, ()
    needed = plan.memory.total_gib if plan.memory else None
    return plan, arbiter.before_training(plan.spec, needed), arbiter.slowed(plan.spec)
