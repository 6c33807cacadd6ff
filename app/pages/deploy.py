"""Deploy: one button starts and stops the local API."""

from __future__ import annotations

from typing import ClassVar

from PySide6.QtWidgets import QWidget

from app import messages
from app.bridge import MachineSample
from app.pages.base import AppContext, Page
from app.pages.deploy_form import DeployForm
from app.pages.deploy_live import DeployLive
from app.theme.tokens import Tone
from app.viewmodels.serve import ServeModel
from app.widgets.buttons import Button
from app.widgets.copy_field import copied_text, copy_text
from app.widgets.status_chip import STATUS_TONES
from core.config.serve import ServeSpec
from core.errors import AppError
from core.supervisor import RunView


class DeployPage(Page):
    """`navigate("deploy", run_id=...)` shows a server; `model=` and `adapter=` fill the form."""

    page_id: ClassVar[str] = "deploy"

    def __init__(self, ctx: AppContext) -> None:
        super().__init__(ctx)
        self.model = ServeModel(ctx.services, ctx.bridge, self)
        self.form = DeployForm(ctx)
        self.live = DeployLive(self.model)
        self.content.addWidget(self.form, 1)
        self.content.addWidget(self.live, 1)
        self.live.setVisible(False)
        self._error_of = ""
        self.copy_button = self.add_action(Button(icon_name="key-outline"))
        self.chat_button = self.add_action(Button(icon_name="message-text-outline"))
        self.form_button = self.add_action(Button(icon_name="tune-variant"))
        self.toggle_button = self.add_action(Button(kind="primary", icon_name="play"))
        self.copy_button.clicked.connect(self._copy_key)
        self.chat_button.clicked.connect(self._chat)
        self.form_button.clicked.connect(self.show_form)
        self.toggle_button.clicked.connect(self._toggle)
        self.form.start_asked.connect(self._start)
        self.model.changed.connect(self._refresh)
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
            self._refresh()
            self.live.refresh()

    def _bring(self, shown: QWidget) -> None:
        for widget in (self.form, self.live):
            widget.setVisible(widget is shown)

    def _living(self) -> str | None:
        found = (s for s in self.ctx.services.runs.list() if s.job == "serve" and s.alive)
        return next((s.run_id for s in found), None)

    # header

    def retranslate(self) -> None:
        """All texts of the header."""
        self.copy_button.set_text(self.tr("Copy key"), self.tr("The API key, for other programs"))
        self.chat_button.set_text(self.tr("Open in chat"))
        self.form_button.set_text(
            self.tr("Other settings"), self.tr("Choose model, adapter and port anew")
        )
        self._refresh()

    def _refresh(self) -> None:
        view, state = self.model.view, self.model.state
        self.set_title(self.tr("Local API"))
        ready = state == "ready"
        self.copy_button.setVisible(ready)
        self.chat_button.setVisible(ready)
        self.form_button.setVisible(state in ("ended", "failed"))
        self.toggle_button.setVisible(view is not None)
        self._show_toggle()
        if view is None:
            self.chip.set_state("")
            self.set_facts(self.tr("Serve a model to programs on this computer."))
            return
        self.chip.set_state(*self._state())
        self.set_facts(*self._facts(view))
        self._show_end_error(view)

    def _show_toggle(self) -> None:
        state = self.model.state
        if state in ("ended", "failed"):
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
        status = view.status if state in ("ended", "failed") else state
        text = messages.status_text(status, self.ctx.language.language)
        return text, STATUS_TONES.get(status, "neutral")

    def _facts(self, view: RunView) -> list[str]:
        ready = view.state.ready
        if ready is None:
            return [str(view.document.get("name") or "")]
        facts = [
            ready.model_id.replace("+", " + "),
            f"{ready.device} {ready.dtype}",
            ready.engine,
            self.tr("{n} tokens of context").format(n=f"{ready.max_context_tokens:,}"),
        ]
        if view.alive:
            facts.append(self.tr("goes on when this window is closed"))
        return facts

    def _show_end_error(self, view: RunView) -> None:
        error = view.problem or view.error
        key = f"{view.run_id} {error.code} {error.params}" if error else ""
        if error is not None and key != self._error_of:
            self.show_error(error, view.verdict.log_tail if view.verdict else "")
        self._error_of = key

    # actions

    def _start(self, spec: ServeSpec) -> None:
        self.error_card.clear()
        self._error_of = ""
        try:
            view = self.ctx.services.serve.start(spec)
        except AppError as e:
            self.show_error(e)
            return
        self.model.follow(view)
        self._show_live()

    def _toggle(self) -> None:
        """The one button: stop what runs, or start the same again."""
        if self.model.busy:
            self.attempt(self.model.stop)
            return
        view = self.model.view
        spec = dict(view.document.get("spec") or {}) if view is not None else {}
        if spec:
            self.attempt(lambda: self._start(ServeSpec.parse(spec)))

    def _chat(self) -> None:
        if self.model.view is not None:
            self.ctx.navigate("chat", run_id=self.model.view.run_id)

    def _copy_key(self) -> None:
        copy_text(self.ctx.services.serve.api_key())
        self.ctx.notify(copied_text(), "ok")

    def _machine_sampled(self, sample: MachineSample) -> None:
        """Memory of the card that the server runs on; without a card the worker's own is shown."""
        ready = self.model.view.state.ready if self.model.view else None
        if ready is None or not ready.device.startswith("cuda"):
            self.live.memory_share = None
            return
        number = int(ready.device.partition(":")[2] or 0)
        for gpu in sample.gpus:
            if gpu.index == number and gpu.memory_used_gib and gpu.memory_total_gib:
                self.live.memory_share = gpu.memory_used_gib / gpu.memory_total_gib
