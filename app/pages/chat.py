"""Chat with a local API: streamed, stoppable, with or without the adapter, or both."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app import aio, messages
from app.pages.base import AppContext, Page
from app.pages.chat_settings import ChatSettingsCard
from app.viewmodels.chat import ApiFailed, ChatModel, as_error, model_names
from app.viewmodels.serve import Servers
from app.widgets.buttons import Button
from app.widgets.card import GAP
from app.widgets.chat_view import ChatInput, ChatView
from app.widgets.empty_state import EmptyState
from app.widgets.labels import label
from core.supervisor import RunView


class ChatPage(Page):
    """`navigate("chat", run_id=...)` talks to a server; `adapter=` looks for one that has it."""

    page_id: ClassVar[str] = "chat"

    def __init__(self, ctx: AppContext) -> None:
        super().__init__(ctx)
        self.chat = ChatModel(self)
        self.servers = Servers(ctx.services, ctx.bridge, self)
        self._server = ""
        self._wanted: dict[str, object] = {}
        self._naming: asyncio.Task[None] | None = None
        self._make_widgets()
        self._lay_out_chat()
        self._connect()

    def _make_widgets(self) -> None:
        self.empty = EmptyState("message-text-outline")
        self.view = ChatView()
        self.hello = label("", "muted", wrap=True)
        self.input = ChatInput()
        self.send_button = Button(kind="primary", icon_name="send")
        self.again_button = self.add_action(Button(icon_name="refresh"))
        self.clear_button = self.add_action(Button(icon_name="delete-outline"))
        self.settings = ChatSettingsCard()

    def _lay_out_chat(self) -> None:
        compose = QHBoxLayout()
        compose.setSpacing(8)
        compose.addWidget(self.input, 1)
        compose.addWidget(self.send_button)
        left = QVBoxLayout()
        left.setSpacing(GAP)
        left.addWidget(self.hello)
        left.addWidget(self.view, 1)
        left.addLayout(compose)
        self.room = QWidget()
        row = QHBoxLayout(self.room)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GAP)
        row.addLayout(left, 1)
        row.addWidget(self.settings)
        self.content.addWidget(self.empty, 1)
        self.content.addWidget(self.room, 1)

    def _connect(self) -> None:
        self.chat.changed.connect(self.view.touch)
        self.chat.turns_changed.connect(self._turns_changed)
        self.chat.busy_changed.connect(self._show_buttons)
        self.servers.changed.connect(self._servers_changed)
        self.settings.server_chosen.connect(self._choose_server)
        self.settings.models_chosen.connect(self._choose_models)
        self.input.submitted.connect(self._send)
        self.input.textChanged.connect(self._show_buttons)
        self.send_button.clicked.connect(self._send_or_stop)
        self.again_button.clicked.connect(self._again)
        self.clear_button.clicked.connect(self.chat.clear)
        self.empty.button.clicked.connect(self._start_server)

    # who answers

    def on_shown(self, args: dict[str, object]) -> None:
        """Look for servers; talk to the one that was asked for, or go on with the last."""
        if args:
            self._wanted = dict(args)
            self._server = ""
        self.servers.refresh()
        self._servers_changed()
        self.input.setFocus()

    def _servers_changed(self) -> None:
        ready = self.servers.ready
        ids = [v.run_id for v in ready]
        if self._server not in ids:
            self._server = ""
        if not self._server:
            found = next((v for v in ready if self._is_wanted(v)), None)
            if found is not None:
                self._choose_server(found.run_id)
        self.settings.show_servers(ready, self._server)
        self._refresh()

    def _is_wanted(self, view: RunView) -> bool:
        """Whether this is the server that was asked for; any is, when none was."""
        spec = view.document.get("spec") or {}
        if run_id := self._wanted.get("run_id"):
            return view.run_id == run_id
        if adapter := self._wanted.get("adapter"):
            return str(adapter) in Path(str(spec.get("adapter") or "")).parts
        return True

    def _choose_server(self, run_id: str) -> None:
        view = next((v for v in self.servers.ready if v.run_id == run_id), None)
        if view is None or view.state.ready is None:
            return
        self._server = run_id
        url, key = view.state.ready.url, self.ctx.services.serve.api_key()
        self.chat.use(url, key, (view.state.ready.model_id,))
        self.settings.show_models([view.state.ready.model_id])
        if self._naming is not None:
            self._naming.cancel()
        self._naming = aio.spawn(self._name_models(url, key))
        self._refresh()

    async def _name_models(self, url: str, key: str) -> None:
        try:
            names = await model_names(url, key)
        except ApiFailed as e:
            self.show_error(as_error(str(e)))
            return
        self.settings.show_models(names)

    def _choose_models(self, models: tuple[str, ...]) -> None:
        self.chat.models = models
        self._refresh()

    def _start_server(self) -> None:
        wanted = {k: v for k, v in self._wanted.items() if k in ("model", "adapter")}
        self.ctx.navigate("deploy", **wanted)

    # the conversation

    def _send_or_stop(self) -> None:
        if self.chat.busy:
            self.chat.stop()
        else:
            self._send()

    def _send(self) -> None:
        question = self.input.toPlainText()
        if not self.chat.can_ask or not question.strip():
            return
        self.error_card.clear()
        self.chat.settings = self.settings.settings()
        self.input.clear()
        self.chat.ask(question)

    def _again(self) -> None:
        self.chat.settings = self.settings.settings()
        self.chat.regenerate()

    def _turns_changed(self) -> None:
        self.view.show_turns(self.chat.turns)
        self._refresh()

    # what is shown

    def _refresh(self) -> None:
        talking = bool(self._server) or bool(self.chat.turns)
        self.empty.setVisible(not talking)
        self.room.setVisible(talking)
        self.hello.setVisible(not self.chat.turns)
        self.set_title(self.tr("Chat"))
        language = self.ctx.language.language
        if self._server:
            self.chip.set_state(messages.status_text("ready", language), "ok")
            self.set_facts(", ".join(self.chat.models), f"{self.chat.url}/v1")
        else:
            self.chip.set_state(self.tr("no API runs") if talking else "", "warning")
            self.set_facts(self.tr("Talk to a model that is served on this computer."))
        self._show_buttons()

    def _show_buttons(self) -> None:
        busy, talking = self.chat.busy, bool(self._server)
        can_send = talking and bool(self.input.toPlainText().strip())
        self.send_button.setEnabled(busy or can_send)
        self.send_button.set_icon("stop" if busy else "send")
        self.send_button.set_text(self.tr("Stop") if busy else self.tr("Send"))
        self.again_button.setVisible(bool(self.chat.turns))
        self.again_button.setEnabled(talking and not busy)
        self.clear_button.setVisible(bool(self.chat.turns))

    def retranslate(self) -> None:
        """All texts."""
        self.empty.set_texts(
            self.tr("No API is running"),
            self.tr("Start one on the Deploy page; then its model can be talked to here."),
            self.tr("Start an API"),
        )
        self.hello.setText(self.tr("Ask something. Nothing leaves this computer."))
        self.input.setPlaceholderText(self.tr("Your question; Enter sends, Shift+Enter breaks"))
        self.input.setAccessibleName(self.tr("Your question"))
        self.view.setAccessibleName(self.tr("Conversation"))
        self.again_button.set_text(
            self.tr("Answer again"), self.tr("Ask the last question once more")
        )
        self.clear_button.set_text(
            self.tr("New conversation"), self.tr("Forget what was said; it is stored nowhere")
        )
        self._refresh()
