"""Edits, files and pages of the chat, with a server that answers at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.bootstrap import Deck
from app.pages.chat import ChatPage
from app.viewmodels.chat_client import Target
from core.paths import Home
from tests.gui.chat_server import Reply, ScriptedServer, piece, usage
from tests.gui.serve_helpers import page


@pytest.fixture
def chat(deck: Deck, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatPage]:
    server = ScriptedServer(Reply(piece("Hi there", finish="stop"), usage(9, 3)))
    shown = page(deck, "chat")
    assert isinstance(shown, ChatPage)
    # Servers of this home are found by their runs; this one has none.
    known = property(lambda _: [server.target, Target(server.target.url, "key", "other")])
    monkeypatch.setattr(type(shown.targets), "all", known)
    shown.targets.changed.emit()
    yield shown
    server.close()


def ask(chat: ChatPage, qtbot: QtBot, question: str = "Hello") -> None:
    chat.input.setPlainText(question)
    qtbot.keyClick(chat.input, Qt.Key.Key_Return)
    assert chat.chat.busy


def finished(chat: ChatPage, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not chat.chat.busy, timeout=10_000)


def test_up_edits_the_last_question_and_undo_brings_it_back(chat: ChatPage, qtbot: QtBot) -> None:
    ask(chat, qtbot, "First")
    finished(chat, qtbot)
    qtbot.keyClick(chat.input, Qt.Key.Key_Up)
    assert chat.input.toPlainText() == "First"
    assert chat.editing.isVisible()
    ask(chat, qtbot, "Second")
    finished(chat, qtbot)
    assert [t.question for t in chat.chat.turns] == ["Second"]
    chat.undo_button.click()
    assert [v.turn.question for v in chat.view.turns] == ["First"]


def test_nothing_is_stored_until_the_user_saves_and_then_every_turn_is(
    chat: ChatPage, home: Home, qtbot: QtBot
) -> None:
    ask(chat, qtbot)
    finished(chat, qtbot)
    assert not home.chats.exists()
    chat.save_button.main.click()
    qtbot.waitUntil(lambda: len(chat.store.list()) == 1)
    ask(chat, qtbot, "More")
    finished(chat, qtbot)
    qtbot.waitUntil(lambda: chat.store.list()[0].turns == 2)


def test_a_saved_conversation_is_found_opened_and_deleted_with_a_way_back(
    chat: ChatPage, qtbot: QtBot
) -> None:
    ask(chat, qtbot, "Find me")
    finished(chat, qtbot)
    chat.saved.keep.set_on(True)
    qtbot.waitUntil(lambda: len(chat.store.list()) == 1)
    chat.new_button.click()
    assert chat.chat.turns == []
    chat.tabs.choose("saved")
    qtbot.waitUntil(lambda: len(chat.saved.list.rows) == 1)
    chat.saved.search.setText("nothing like it")
    assert chat.saved.list.rows == []
    chat.saved.search.setText("FIND")
    chat.saved.open_button.click()
    qtbot.waitUntil(lambda: [t.question for t in chat.chat.turns] == ["Find me"])
    chat.saved.delete()
    qtbot.waitUntil(lambda: chat.store.list() == [])


def test_training_data_opens_on_the_data_page(
    chat: ChatPage, deck: Deck, tmp_path: Path, qtbot: QtBot
) -> None:
    ask(chat, qtbot)
    finished(chat, qtbot)
    chat.chat.turns[0].answers[0].finish = "stop"
    path = tmp_path / "chat.jsonl"
    chat.files.export_to("training", path)
    qtbot.waitUntil(path.exists)
    chat.files._open_data(path)
    assert deck.window.page("data").isVisible()
    assert str(path) in deck.window.ctx.settings.value.data_paths


def test_the_conversation_is_kept_over_pages_and_a_new_one_can_be_taken_back(
    chat: ChatPage, deck: Deck, qtbot: QtBot
) -> None:
    ask(chat, qtbot)
    finished(chat, qtbot)
    deck.window.navigate("deploy")
    deck.window.navigate("chat")
    assert len(chat.view.turns) == 1
    qtbot.keyClick(chat.input, Qt.Key.Key_N, Qt.KeyboardModifier.ControlModifier)
    assert chat.view.turns == []
    assert chat.chat.turns == []


def test_a_rename_holds_although_the_conversation_goes_on(chat: ChatPage, qtbot: QtBot) -> None:
    ask(chat, qtbot)
    finished(chat, qtbot)
    chat.save_button.main.click()
    qtbot.waitUntil(lambda: len(chat.store.list()) == 1)
    chat.tabs.choose("saved")
    qtbot.waitUntil(lambda: len(chat.saved.list.rows) == 1)
    chat.saved.rename("Greetings")
    qtbot.waitUntil(lambda: chat.chat.chat.title == "Greetings")
    ask(chat, qtbot, "More")
    finished(chat, qtbot)
    qtbot.waitUntil(lambda: chat.store.list()[0].turns == 2)
    assert chat.store.list()[0].title == "Greetings"


def test_leaving_an_edit_changes_nothing(chat: ChatPage, qtbot: QtBot) -> None:
    ask(chat, qtbot, "First")
    finished(chat, qtbot)
    qtbot.keyClick(chat.input, Qt.Key.Key_Up)
    qtbot.keyClick(chat.input, Qt.Key.Key_Escape)
    assert chat.input.toPlainText() == ""
    assert not chat.editing.isVisible()
    assert [t.question for t in chat.chat.turns] == ["First"]


def test_a_system_prompt_is_saved_under_a_name_and_comes_back(chat: ChatPage, qtbot: QtBot) -> None:
    prompts = chat.settings.prompts
    prompts.text.setPlainText("You are a lawyer.")
    prompts.add("Lawyer")
    qtbot.waitUntil(lambda: chat.store.prompts() == {"Lawyer": "You are a lawyer."})
    prompts.text.setPlainText("")
    number = prompts.box.findText("Lawyer")
    prompts.box.activated.emit(number)
    assert chat.settings.settings().system == "You are a lawyer."


def test_a_preset_sets_what_it_names_and_shows_when_left(chat: ChatPage) -> None:
    fields = chat.settings.sampling
    fields.preset_box.activated.emit(fields.preset_box.findData("balanced"))
    made = chat.settings.settings()
    assert (made.temperature, made.top_p, made.top_k) == (0.6, 0.95, None)
    fields.top_k.setValue(40)
    assert fields.preset_box.currentData() == "custom"
    assert fields.preset_box.currentText() == "Your own"


def test_who_answered_is_named_when_several_did(chat: ChatPage, qtbot: QtBot) -> None:
    ask(chat, qtbot)
    finished(chat, qtbot)
    assert chat.view.turns[0].answers[0].title_label.text() == ""
    chat.settings.first_box.setCurrentIndex(1)
    chat.settings.first_box.activated.emit(1)
    ask(chat, qtbot)
    finished(chat, qtbot)
    titles = [v.answers[0].title_label.text() for v in chat.view.turns]
    assert titles == ["scripted", "other"]


def test_a_new_conversation_can_be_taken_back(chat: ChatPage, deck: Deck, qtbot: QtBot) -> None:
    ask(chat, qtbot, "Keep me")
    finished(chat, qtbot)
    before = chat.chat.document()
    chat.new_button.click()
    assert chat.chat.turns == []
    chat.chat.open(before)
    assert [v.turn.question for v in chat.view.turns] == ["Keep me"]


def test_the_page_speaks_chinese_while_a_conversation_is_open(
    chat: ChatPage, deck: Deck, qtbot: QtBot
) -> None:
    ask(chat, qtbot)
    finished(chat, qtbot)
    deck.window.ctx.language.set_choice("zh_CN")
    facts = chat.view.turns[0].answers[0].facts
    qtbot.waitUntil(lambda: "输出 3" in facts.accessibleName())
    assert chat.settings.sampling.preset_box.currentText() == "模型作者的推荐"
