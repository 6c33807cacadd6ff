"""Chat with local APIs: streamed, stoppable, edited, compared, kept where the user wants it."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app import messages
from app.pages.base import AppContext, Page
from app.pages.chat_files import ChatFiles
from app.pages.chat_saved import SavedChats
from app.pages.chat_settings import ChatSettingsCard
from app.pages.chat_targets import ChatTargets
from app.viewmodels.chat import ChatModel
from app.viewmodels.chat_client import Target
from app.viewmodels.chat_turns import ChatSettings, Turn, settings_of_request, turns_of_messages
from app.viewmodels.serve import Servers
from app.widgets.buttons import Button
from app.widgets.card import GAP
from app.widgets.chat_input import ChatInput
from app.widgets.chat_view import ChatView
from app.widgets.deploy_tabs import TabRow
from app.widgets.empty_state import EmptyState
from app.widgets.labels import label
from app.widgets.scroll_column import ScrollColumn
from app.widgets.split_button import SplitButton
from core.chats import ChatStore, Conversation

_SIDE_PX = 300
_NARROW_PX = 900
"""A page as narrow as this shows the side only when it is asked for."""
_EXPORTS = ("markdown", "json", "training")


class ChatPage(Page):
    """`navigate("chat", run_id=...)` talks to a server; `adapter=` looks for one that has it;
    `messages=` and `request=` open a remembered request of that server.
    """

    page_id: ClassVar[str] = "chat"

    def __init__(self, ctx: AppContext) -> None:
        super().__init__(ctx)
        self.chat = ChatModel(self)
        self.store = ChatStore(ctx.services.home)
        self.servers = Servers(ctx.services, ctx.bridge, self)
        self.targets = ChatTargets(ctx, self.servers, self)
        self.files = ChatFiles(ctx, self.chat, self.store, self.show_error, self)
        self._wanted: dict[str, object] = {}
        self._edited: Turn | None = None
        self._make_widgets()
        self._lay_out_chat()
        self._connect()
        self._connect_side()
        self._make_shortcuts()

    def _make_widgets(self) -> None:
        self.empty = EmptyState("message-text-outline")
        self.view = ChatView()
        self.hello = label("", "muted", wrap=True)
        self.hello.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.input = ChatInput()
        self.send_button = Button(kind="primary", icon_name="send")
        self.editing = label("", "muted")
        self.edit_cancel = Button(kind="link")
        self.undo_button = self.add_action(Button(icon_name="undo"))
        self.new_button = self.clear_button = self.add_action(Button(icon_name="plus"))
        self.save_button = SplitButton(icon_name="content-save-outline")
        self.header_actions.addWidget(self.save_button)
        self.exports: dict[str, QAction] = {k: self.save_button.add_choice() for k in _EXPORTS}
        self.side_button = self.add_action(Button(kind="icon", icon_name="tune"))
        self.side_button.setCheckable(True)
        self.side_button.setChecked(True)
        self.settings = ChatSettingsCard()
        self.saved = SavedChats(self.store, self.ctx.background)
        self.saved.keep.set_on(self.ctx.settings.value.keep_chats)
        self.tabs = TabRow(["settings", "saved"], ["tune", "history"])

    def _lay_out_chat(self) -> None:
        compose = QHBoxLayout()
        compose.setSpacing(8)
        compose.addWidget(self.input, 1)
        compose.addWidget(self.send_button, 0, Qt.AlignmentFlag.AlignBottom)
        edit_line = QHBoxLayout()
        edit_line.addWidget(self.editing)
        edit_line.addWidget(self.edit_cancel)
        edit_line.addStretch(1)
        left = QVBoxLayout()
        left.setSpacing(8)
        left.addWidget(self.hello, 1)
        left.addWidget(self.view, 1)
        left.addLayout(edit_line)
        left.addLayout(compose)
        self.room = QWidget()
        row = QHBoxLayout(self.room)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GAP)
        row.addLayout(left, 1)
        row.addWidget(self._make_side())
        self.content.addWidget(self.empty, 1)
        self.content.addWidget(self.room, 1)

    def _make_side(self) -> QWidget:
        scroll = ScrollColumn()
        scroll.set_column(self.settings)
        self._stack = QStackedWidget()
        self._stack.addWidget(scroll)
        self._stack.addWidget(self.saved)
        self.side = QWidget()
        self.side.setFixedWidth(_SIDE_PX)
        column = QVBoxLayout(self.side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.tabs)
        column.addWidget(self._stack, 1)
        self.tabs.choose("settings")
        return self.side

    def _connect(self) -> None:
        self.chat.changed.connect(self.view.touch)
        self.chat.turns_changed.connect(self._turns_changed)
        self.chat.busy_changed.connect(self._busy_changed)
        self.targets.changed.connect(self._targets_changed)
        self.view.asked.connect(self._asked)
        self.input.submitted.connect(self._send)
        self.input.earlier_wanted.connect(self._edit_last)
        self.input.textChanged.connect(self._show_buttons)
        self.send_button.clicked.connect(self._send_or_stop)
        self.edit_cancel.clicked.connect(self._leave_edit)
        self.undo_button.clicked.connect(self.chat.undo)
        self.new_button.clicked.connect(self._new)
        self.empty.button.clicked.connect(self._start_server)

    def _connect_side(self) -> None:
        self.settings.targets_chosen.connect(self._choose)
        self.settings.prompts.changed.connect(self._save_prompts)
        self.tabs.chosen.connect(self._show_tab)
        self.side_button.toggled.connect(self._show_side)
        self.saved.opened.connect(self._open)
        self.saved.deleted.connect(self._deleted)
        self.saved.renamed.connect(self._renamed)
        self.saved.failed.connect(self.show_error)
        self.saved.keep_changed.connect(self._keep_changed)
        self.save_button.main.clicked.connect(lambda: self.files.save(self.saved.refresh))
        for kind, action in self.exports.items():
            action.triggered.connect(lambda _=False, k=kind: self.files.export(k))

    def _make_shortcuts(self) -> None:
        for keys, action in (("Esc", self._escape), ("Ctrl+N", self._new)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(action)

    # who answers

    def on_shown(self, args: dict[str, object]) -> None:
        """Look for servers; talk to the one that was asked for, or go on with the last."""
        if args:
            self._wanted = dict(args)
            self.chat.targets = ()
        self.servers.refresh()
        self.targets.refresh()
        self.saved.refresh()
        prompts = self.store.prompts
        self.ctx.background.run(self, prompts, self.settings.prompts.show_prompts, self.show_error)
        self._targets_changed()
        if args.get("messages"):
            self._show_request(args)
        self._fold_side()
        self.input.setFocus()

    def _show_request(self, args: dict[str, object]) -> None:
        found: Any = args.get("messages")
        request: Any = args.get("request") or {}
        body = request.get("request") if isinstance(request, dict) else None
        asked = body if isinstance(body, dict) else {}
        model = str(asked.get("model") or "")
        system, turns = turns_of_messages(list(found), model)
        self.settings.show_settings(settings_of_request(asked, system))
        wanted = [t for t in self.targets.all if t.model == model]
        same = [t for t in wanted if t.run_id == self._wanted.get("run_id")]
        if found := (same or wanted)[:1]:
            self.chat.targets = tuple(found)
            self.settings.show_targets(self.targets.all, self.chat.targets)
        self.chat.show(turns)

    def _targets_changed(self) -> None:
        self.chat.targets = self.targets.still(self.chat.targets)
        if not self.chat.targets:
            self.chat.targets = self.targets.wanted(self._is_wanted)
        self.settings.show_targets(self.targets.all, self.chat.targets)
        self._refresh()

    def _is_wanted(self, target: Target) -> bool:
        """Whether this is the one that was asked for; any is, when none was."""
        if run_id := self._wanted.get("run_id"):
            return target.run_id == run_id
        if adapter := self._wanted.get("adapter"):
            return str(adapter) in self.targets.adapter_parts(target)
        return True

    def _choose(self, targets: tuple[Target, ...]) -> None:
        self.chat.targets = targets
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
        if not self.chat.can_ask or not question.strip() or not self._ready_to_ask():
            return
        edited = self._edited
        self.input.clear()
        self._leave_edit()
        self.view.follow()
        if edited is not None:
            self.chat.edit(edited, question)
        else:
            self.chat.ask(question)

    def _ready_to_ask(self) -> bool:
        self.error_card.clear()
        if not self.settings.sampling.check():
            self.side_button.setChecked(True)
            self.tabs.choose("settings")
            return False
        self.chat.settings = self.settings.settings()
        return True

    def _asked(self, what: str, turn: Turn, column: int) -> None:
        """A button of a question or an answer."""
        if what in ("back", "forth"):
            turn.columns[column].turn_page(1 if what == "forth" else -1)
            self.view.refresh_all()
            self.files.keep()
        elif what == "edit":
            self._edit(turn)
        elif what == "delete":
            self.chat.delete(turn)
        elif what == "shorter":
            self._shorter(turn)
        elif self._ready_to_ask():
            if what == "continue":
                self.chat.go_on(column)
            else:
                self.chat.regenerate(column)

    def _edit(self, turn: Turn) -> None:
        self._edited = turn
        self.input.setPlainText(turn.question)
        self.input.moveCursor(self.input.textCursor().MoveOperation.End)
        self.input.setFocus()
        self._show_buttons()

    def _edit_last(self) -> None:
        if self.chat.turns and not self.chat.busy:
            self._edit(self.chat.turns[-1])

    def _leave_edit(self) -> None:
        if self._edited is not None:
            self._edited = None
            self.input.clear()
        self._show_buttons()

    def _escape(self) -> None:
        if self.chat.busy:
            self.chat.stop()
        else:
            self._leave_edit()

    def _shorter(self, turn: Turn) -> None:
        self._new()
        self.input.setPlainText(turn.question)
        self.input.setFocus()

    def _new(self) -> None:
        before = self.chat.document() if self.chat.turns else None
        self._leave_edit()
        self.chat.clear()
        self.input.setFocus()
        if before is not None and before.chat_id not in self.files.saved_ids:
            self.ctx.notify(
                self.tr("A new conversation; the last one was not saved"),
                action=self.tr("Bring it back"),
                on_action=lambda: self.chat.open(before),
            )

    def _turns_changed(self) -> None:
        if self._edited is not None and self._edited not in self.chat.turns:
            self._leave_edit()
        self.view.show_turns(self.chat.turns, self._powers)
        self._refresh()

    def _powers(self, turn: Turn, column: int) -> tuple[bool, bool, bool]:
        last = bool(self.chat.turns) and turn is self.chat.turns[-1]
        can_ask = self.chat.can_ask and column < len(self.chat.targets)
        return last, can_ask, self.chat.can_go_on(turn, column)

    def _busy_changed(self) -> None:
        self.view.set_busy(self.chat.busy)
        self._show_buttons()

    # what is kept

    def _open(self, chat: Conversation) -> None:
        self._leave_edit()
        self.files.saved_ids.add(chat.chat_id)
        self.settings.show_settings(ChatSettings.of(chat.parameters, chat.system))
        self.chat.settings = self.settings.settings()
        self.chat.open(chat)
        self.view.follow()

    def _deleted(self, chat: Conversation) -> None:
        self.files.forget(chat.chat_id)
        self.ctx.notify(
            self.tr("“{title}” was deleted").format(title=chat.title),
            action=self.tr("Bring it back"),
            on_action=lambda: self.files.bring_back(chat, self.saved.refresh),
        )

    def _renamed(self, chat: Conversation) -> None:
        if chat.chat_id == self.chat.chat.chat_id:
            update = {"title": chat.title, "named": True}
            self.chat.chat = self.chat.chat.model_copy(update=update)

    def _keep_changed(self, on: bool) -> None:
        self.ctx.settings.change(keep_chats=on)
        self.files.keep()
        self.saved.refresh()

    def _save_prompts(self, prompts: dict[str, str]) -> None:
        work = lambda: self.store.save_prompts(prompts)  # noqa: E731
        self.ctx.background.run(self, work, lambda _: None, self.show_error)

    # what is shown

    def _show_tab(self, key: str) -> None:
        self._stack.setCurrentIndex(1 if key == "saved" else 0)
        if key == "saved":
            self.saved.refresh()

    def _show_side(self, shown: bool) -> None:
        self.side_button.refresh_icon()
        self.side.setVisible(shown)

    def _fold_side(self) -> None:
        """Two answers in a narrow window need the room more than the settings do."""
        if self.width() < _NARROW_PX and len(self.chat.targets) > 1:
            self.side_button.setChecked(False)

    def _refresh(self) -> None:
        talking = bool(self.chat.targets) or bool(self.chat.turns)
        self.empty.setVisible(not talking)
        self.room.setVisible(talking)
        self.hello.setVisible(not self.chat.turns)
        self.view.setVisible(bool(self.chat.turns))
        self.set_title(self.tr("Chat"))
        language = self.ctx.language.language
        if self.chat.targets:
            self.chip.set_state(messages.status_text("ready", language), "ok")
            urls = dict.fromkeys(f"{t.url}/v1" for t in self.chat.targets)
            self.set_facts(" + ".join(self.chat.models), *urls)
        else:
            self.chip.set_state(self.tr("no API runs") if talking else "", "warning")
            self.set_facts(self.tr("Talk to a model that is served on this computer."))
        self.view.refresh_all()
        self._show_buttons()

    def _show_buttons(self) -> None:
        busy, talking = self.chat.busy, bool(self.chat.targets)
        can_send = talking and bool(self.input.toPlainText().strip())
        self.send_button.setEnabled(busy or can_send)
        self.send_button.set_icon("stop" if busy else "send")
        self.send_button.set_text(self.tr("Stop") if busy else self.tr("Send"))
        any_turns = bool(self.chat.turns)
        self.new_button.setVisible(any_turns)
        self.save_button.setVisible(any_turns)
        self.undo_button.setVisible(self.chat.can_undo)
        self.side_button.setVisible(self.room.isVisibleTo(self))
        editing = self._edited is not None
        self.editing.setVisible(editing)
        self.edit_cancel.setVisible(editing)

    def retranslate(self) -> None:
        """All texts."""
        self.empty.set_texts(
            self.tr("No API is running"),
            self.tr("Start one on the Deploy page; then its model can be talked to here."),
            self.tr("Start an API"),
        )
        self.hello.setText(
            self.tr("Ask something. Nothing leaves this computer, and nothing is stored unless "
                    "you save it.")
        )  # fmt: skip
        self.input.setPlaceholderText(self.tr("Your question; Enter sends, Shift+Enter breaks"))
        self.input.setAccessibleName(self.tr("Your question"))
        self.view.setAccessibleName(self.tr("Conversation"))
        self.view.retranslate_down(self.tr("To the end"))
        self.editing.setText(self.tr("You edit an earlier question; what follows is replaced."))
        self.edit_cancel.set_text(self.tr("Leave it as it was"))
        self._name_actions()
        self._refresh()

    def _name_actions(self) -> None:
        self.undo_button.set_text(self.tr("Undo"), self.tr("Take back the last edit or deletion"))
        self.new_button.set_text(self.tr("New conversation"), self.tr("Begin anew (Ctrl+N)"))
        self.save_button.main.set_text(self.tr("Save"), self.tr("Keep this conversation"))
        self.save_button.name_arrow(self.tr("Export"))
        self.exports["markdown"].setText(self.tr("Export as Markdown…"))
        self.exports["json"].setText(self.tr("Export as JSON…"))
        self.exports["training"].setText(self.tr("Export as training data…"))
        self.side_button.set_text(self.tr("Show or hide the settings"))
        self.tabs.buttons["settings"].set_text(self.tr("Settings"))
        self.tabs.buttons["saved"].set_text(self.tr("Saved"))
