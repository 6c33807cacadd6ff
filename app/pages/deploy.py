"""Deploy: one button starts and stops the local API."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6.QtWidgets import QWidget

from app import aio, messages
from app.bridge import MachineSample
from app.pages.base import AppContext, Page
from app.pages.deploy_busy import CardQuestion
from app.pages.deploy_facts import ServerFacts
from app.pages.deploy_form import DeployForm
from app.pages.deploy_keys import KeysDialog
from app.pages.deploy_live import DeployLive
from app.pages.deploy_self_test import SECONDS
from app.pages.deploy_words import refused_reason
from app.texts.refusals import refusal_text
from app.theme.tokens import Tone
from app.viewmodels.chat import ApiFailed
from app.viewmodels.serve import (
    ServeModel,
    adapters_of,
    conversation_of,
    find_model,
    remembered_request,
)
from app.widgets.buttons import Button
from app.widgets.copy_field import copied_text, copy_text
from app.widgets.status_chip import STATUS_TONES, StatusChip
from core.config.serve import ServeSpec
from core.errors import AppError, ErrorInfo
from core.services.serve_arbiter import Conflict, Holder, ServeArbiter
from core.supervisor import RunView

_OVER = ("ended", "failed")


class DeployPage(Page):
    """`navigate("deploy", run_id=...)` shows a server; `model=` and `adapter=` fill the form."""

    page_id: ClassVar[str] = "deploy"

    def __init__(self, ctx: AppContext) -> None:
        super().__init__(ctx)
        self.model = ServeModel(ctx.services, ctx.bridge, self)
        self.form = DeployForm(ctx)
        self.live = DeployLive(self.model)
        self.question = CardQuestion(ctx, self)
        self.server_facts = ServerFacts(self)
        self.keys_dialog: KeysDialog | None = None
        self.badge = StatusChip()
        self.title_line.insertWidget(2, self.badge)
        self.content.addWidget(self.form, 1)
        self.content.addWidget(self.live, 1)
        self.live.setVisible(False)
        self._error_of = ""
        self._checking = False
        self._make_actions()
        self._connect()

    def _make_actions(self) -> None:
        self.copy_button = self.add_action(Button(icon_name="key-outline"))
        self.chat_button = self.add_action(Button(icon_name="message-text-outline"))
        self.form_button = self.add_action(Button(icon_name="tune-variant"))
        self.toggle_button = self.add_action(Button(kind="primary", icon_name="play"))
        self.start_button = self.add_action(self.form.start_button)
        self.copy_button.clicked.connect(self._copy_key)
        self.chat_button.clicked.connect(self._chat)
        self.form_button.clicked.connect(self.show_form)
        self.toggle_button.clicked.connect(self._toggle)

    def _connect(self) -> None:
        ctx, live, pending = self.ctx, self.live, self.form.pending
        self.form.start_asked.connect(self._ask_start)
        self.model.changed.connect(self._refresh)
        self.model.answered.connect(self._answered)
        self.question.changed.connect(self._show_clearing)
        self.question.failed.connect(self.show_error)
        self.question.refused.connect(self._say_not_paused)
        pending.started.connect(self.show_server)
        pending.failed.connect(self.show_error)
        pending.give_up_asked.connect(self.question.give_up)
        live.requests.cancel_asked.connect(lambda i: self.attempt(lambda: self.model.cancel(i)))
        live.requests.open_asked.connect(self._open_request)
        live.connect_view.access.keys_asked.connect(self._show_keys)
        live.connect_view.snippets.copied.connect(lambda text: ctx.notify(text, "ok"))
        live.adapters.load_asked.connect(lambda a: self._adapter(self.model.load_adapter, a))
        live.adapters.unload_asked.connect(lambda a: self._adapter(self.model.unload_adapter, a))
        live.adapters.default_asked.connect(lambda a: self._adapter(self.model.set_default, a))
        live.self_test.start_asked.connect(
            lambda p, a: self.attempt(lambda: self.model.self_test(SECONDS, p, a))
        )
        live.tabs.chosen.connect(self._read_adapters)
        ctx.bridge.machine_sampled.connect(self._machine_sampled)

    # what is shown

    def on_shown(self, args: dict[str, object]) -> None:
        """A server by its run, else a filled form, else the living server, else the form."""
        if run_id := args.get("run_id"):
            self.show_server(str(run_id))
        elif args.get("model") or args.get("adapter"):
            self.show_form()
            self.form.choose(
                model=str(args.get("model") or ""), adapter=str(args.get("adapter") or "")
            )
        elif self.model.view is None and (living := self._living()):
            self.show_server(living)
        elif self.model.view is None:
            self.show_form()

    def show_server(self, run_id: str) -> None:
        """Watch a server, living or not."""
        if self.attempt(lambda: self.model.attach(run_id)):
            self._show_live()

    def show_form(self) -> None:
        """Prepare another one; a server that runs goes on."""
        self.error_card.clear()
        self.model.leave()
        self.form.refresh_choices()
        self._bring(self.form)
        self._refresh()

    def _show_live(self) -> None:
        if self.attempt(lambda: self.live.set_key(self.ctx.services.serve.api_key())):
            self._bring(self.live)
            self._read_adapters()
            self._refresh()
            self.live.refresh()

    def _bring(self, shown: QWidget) -> None:
        for widget in (self.form, self.live):
            widget.setVisible(widget is shown)

    def _living(self) -> str | None:
        found = (s for s in self.ctx.services.runs.list() if s.job == "serve" and s.alive)
        return next((s.run_id for s in found), None)

    @property
    def shown_run_id(self) -> str:
        """The server of the live view."""
        view = self.model.view
        return view.run_id if view is not None and not self.live.isHidden() else ""

    # header

    def retranslate(self) -> None:
        """All texts of the header."""
        self.copy_button.set_text(self.tr("Copy key"), self.tr("The API key, for other programs"))
        self.chat_button.set_text(self.tr("Open in chat"))
        self.form_button.set_text(
            self.tr("Other settings"), self.tr("Choose model, adapters and port anew")
        )
        self._refresh()

    def _refresh(self) -> None:
        view, state = self.model.view, self.model.state
        self.set_title(self.tr("Local API"))
        ready = state == "ready"
        self.copy_button.setVisible(ready)
        self.chat_button.setVisible(ready)
        self.form_button.setVisible(state in _OVER)
        self.toggle_button.setVisible(view is not None)
        self.start_button.setVisible(view is None)
        self._show_toggle()
        self._show_badge(view)
        if view is None:
            self.chip.set_state("")
            self.set_facts(self._form_fact())
            return
        self.chip.set_state(*self._state())
        self.set_facts(*self.server_facts.facts(view))
        self._show_end_error(view)
        if state in _OVER and self.question.paused:
            self._offer_to_go_on()

    def _form_fact(self) -> str:
        if self._checking:
            return self.tr("Looking who uses the card …")
        return self.tr("Serve a model to programs on this computer.")

    def _show_badge(self, view: RunView | None) -> None:
        shown = view is not None and self.model.busy and self.live.exposure.exposed
        self.badge.set_state(self.tr("open to the network") if shown else "", "warning")

    def _show_toggle(self) -> None:
        state = self.model.state
        if state in _OVER:
            self.toggle_button.set_kind("primary")
            self.toggle_button.set_icon("play")
            self.toggle_button.set_text(self.tr("Start again"))
            return
        self.toggle_button.set_kind("danger")
        self.toggle_button.set_icon("stop")
        if state == "stopping":
            self.toggle_button.set_text(
                self.tr("Stop faster"), self.tr("Do not wait for open requests")
            )
        else:
            self.toggle_button.set_text(
                self.tr("Stop"), self.tr("Finish open requests, then end the process")
            )

    def _state(self) -> tuple[str, Tone]:
        view, state = self.model.view, self.model.state
        assert view is not None
        if state == "restarting":
            return self.tr("engine restarting"), "warning"
        status = view.status if state in _OVER else state
        text = messages.status_text(status, self.ctx.language.language)
        return text, STATUS_TONES.get(status, "neutral")

    def _show_end_error(self, view: RunView) -> None:
        error = view.problem or view.error
        key = f"{view.run_id} {error.code} {error.params}" if error else ""
        if error is not None and key != self._error_of:
            self.show_error(error, view.verdict.log_tail if view.verdict else "")
        self._error_of = key

    # starting

    def _ask_start(self, spec: ServeSpec) -> None:
        """Look who is on the card first, beside the window."""
        self.error_card.clear()
        self._checking = True
        self.start_button.setEnabled(False)
        self.toggle_button.setEnabled(False)
        self._refresh()
        arbiter = self.ctx.services.arbiter
        self.ctx.background.run(
            self,
            lambda: _conflict(arbiter, spec),
            lambda found: self._looked(spec, *found),
            self._could_not_look,
        )

    def _looked(
        self, spec: ServeSpec, found: Conflict | AppError | None, slowed: tuple[Holder, ...] = ()
    ) -> None:
        self._end_check()
        self.question.say_slowed(slowed)
        if isinstance(found, AppError):
            self.show_error(found)
        elif found is None:
            self._start(spec)
        else:
            self.question.ask(
                found,
                start=lambda changes: self._start(spec.model_copy(update=changes)),
                wait=lambda: self._wait(spec),
            )

    def _could_not_look(self, error: ErrorInfo) -> None:
        self._end_check()
        self.show_error(error)

    def _end_check(self) -> None:
        self._checking = False
        self.start_button.setEnabled(True)
        self.toggle_button.setEnabled(True)
        self._refresh()

    def _start(self, spec: ServeSpec) -> None:
        self.error_card.clear()
        self._error_of = ""
        try:
            view = self.ctx.services.serve.start(spec)
        except AppError as e:
            self.show_error(e)
            self.question.let_go_on()
            return
        self.model.follow(view)
        self._show_live()

    def _wait(self, spec: ServeSpec) -> None:
        if self.attempt(lambda: self.ctx.services.queue.add_server(spec)):
            self.show_form()

    def _show_clearing(self) -> None:
        self.form.pending.show_clearing(self.question.clearing)
        self.start_button.setEnabled(self.question.clearing is None)

    def _say_not_paused(self, name: str, detail: str) -> None:
        reason = refusal_text(detail, self.ctx.language.language)
        text = self.tr("“{name}” could not be paused: {reason}").format(name=name, reason=reason)
        self.ctx.notify(text, "warning")

    def _offer_to_go_on(self) -> None:
        names = ", ".join(f"“{h.name}”" for h in self.question.paused)
        held, self.question.paused = self.question.paused, []

        def go_on() -> None:
            self.question.paused = held
            self.question.let_go_on()

        self.ctx.notify(
            self.tr("{names} was paused for the API").format(names=names),
            "warning",
            action=self.tr("Let it go on"),
            on_action=go_on,
        )

    # actions

    def _toggle(self) -> None:
        """The one button: stop what runs, or start the same again."""
        if self.model.busy:
            self.attempt(self.model.stop)
            return
        view = self.model.view
        spec = dict(view.document.get("spec") or {}) if view is not None else {}
        if spec:
            self.attempt(lambda: self._ask_start(ServeSpec.parse(spec)))

    def _chat(self) -> None:
        if self.model.view is not None:
            self.ctx.navigate("chat", run_id=self.model.view.run_id)

    def _copy_key(self) -> None:
        copy_text(self.ctx.services.serve.api_key())
        self.ctx.notify(copied_text(), "ok")

    def _show_keys(self) -> None:
        self.keys_dialog = KeysDialog(self.ctx, self)
        self.keys_dialog.finished.connect(self.keys_dialog.deleteLater)
        self.keys_dialog.open()

    def _adapter(self, ask: Any, name: str) -> None:
        self.attempt(lambda: ask(name))

    def _read_adapters(self) -> None:
        """Trainings of the served model that left an adapter."""
        view = self.model.view
        if view is None or self.live.tabs.key != "adapters":
            return
        spec = view.document.get("spec") or {}
        models = self.ctx.services.models.list()
        model = find_model(models, str(view.document.get("model") or spec.get("model") or ""))
        self.live.adapter_runs = adapters_of(model, self.ctx.services.runs.list()) if model else []
        self.live.refresh()

    def _answered(self, kind: str, accepted: bool, detail: str) -> None:
        """Say what came of a command; a self-test says it on its own card."""
        if kind == "self_test":
            return
        if accepted:
            if kind == "adapter":  # of a request the table says it
                self.ctx.notify(self.tr("The adapters were changed"), "ok")
            return
        reason = refused_reason(detail, self.ctx.language.language)
        self.ctx.notify(
            self.tr("The server did not do it. {reason}").format(reason=reason), "warning"
        )

    def _open_request(self, request_id: str) -> None:
        view = self.model.view
        if view is not None and view.state.ready is not None and self.model.busy:
            aio.spawn(self._fetch_request(view.run_id, view.state.ready.url, request_id))
        else:
            self._say_forgotten()

    async def _fetch_request(self, run_id: str, url: str, request_id: str) -> None:
        """Its messages are in the server's memory alone, never in a file."""
        try:
            key = self.ctx.services.serve.api_key()
            found = await remembered_request(url, key, request_id)
        except ApiFailed:
            self._say_forgotten()
            return
        if messages_of := conversation_of(found):
            self.ctx.navigate("chat", run_id=run_id, messages=messages_of, request=found)
        else:
            self._say_forgotten()

    def _say_forgotten(self) -> None:
        self.ctx.notify(self.tr("The server does not remember this request any more."), "neutral")

    def _machine_sampled(self, sample: MachineSample) -> None:
        """Memory of the card that the server runs on; without a card the worker's own is shown."""
        if not self.form.isHidden():
            self.form.how.refresh_devices(sample)
            self.form.pending.refresh()
        ready = self.model.view.state.ready if self.model.view else None
        if ready is None or not ready.device.startswith("cuda"):
            self.live.memory_share = None
            return
        number = int(ready.device.partition(":")[2] or 0)
        for gpu in sample.gpus:
            if gpu.index == number and gpu.memory_used_gib and gpu.memory_total_gib:
                self.live.memory_share = gpu.memory_used_gib / gpu.memory_total_gib


def _conflict(
    arbiter: ServeArbiter, spec: ServeSpec
) -> tuple[Conflict | AppError | None, tuple[Holder, ...]]:
    """Who is in the way on the card, and who is slowed down on the processor."""
    try:
        return arbiter.before_server(spec), arbiter.slowed(spec)
    except AppError as e:
        return e, ()
