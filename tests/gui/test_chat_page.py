"""The Chat page talks to a real server through the window's own loop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

pytest.importorskip("torch")

from app.bootstrap import Deck
from app.pages.chat import ChatPage
from core.config.serve import ServeSpec
from core.paths import Home
from core.supervisor import RunView
from tests.gui.serve_helpers import START_MS, add_tiny, end_all, page
from tests.unit.test_serve_engine import make_adapter


@pytest.fixture
def server(deck: Deck, home: Home, qtbot: QtBot, tmp_path: Path) -> Iterator[RunView]:
    model = add_tiny(home, max_position_embeddings=4096)
    adapter = make_adapter(model, tmp_path / "tuned")
    services = deck.window.ctx.services
    view = services.serve.start(
        ServeSpec(model="tiny", adapter=str(adapter), port=0, device="cpu", drain_s=0)
    )
    deck.bridge.start()
    qtbot.waitUntil(
        lambda: services.supervisor.view(view.run_id).state.ready is not None, timeout=START_MS
    )
    yield view
    end_all(deck, qtbot)


@pytest.fixture
def chat(deck: Deck, server: RunView, qtbot: QtBot) -> ChatPage:
    shown = page(deck, "chat")
    assert isinstance(shown, ChatPage)
    qtbot.waitUntil(lambda: shown.settings.model_box.count() == 3, timeout=10_000)
    return shown


def ask(chat: ChatPage, qtbot: QtBot, question: str = "Hello") -> None:
    chat.input.setPlainText(question)
    qtbot.keyClick(chat.input, Qt.Key.Key_Return)
    assert chat.chat.busy


def finished(chat: ChatPage, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not chat.chat.busy, timeout=30_000)
    chat.view._draw()


def test_an_answer_streams_in_as_plain_text(chat: ChatPage, qtbot: QtBot) -> None:
    ask(chat, qtbot, "<b>Hello</b>")
    finished(chat, qtbot)
    (turn,) = chat.view.turns
    (answer,) = turn.answers
    assert answer.text.text() == chat.chat.turns[0].answers[0].text != ""
    assert answer.text.textFormat() == Qt.TextFormat.PlainText
    assert "tokens/s" in answer.facts.text()
    assert chat.input.toPlainText() == ""


def test_stop_leaves_the_stream_and_keeps_what_was_said(chat: ChatPage, qtbot: QtBot) -> None:
    chat.settings.max_tokens.setValue(2000)
    ask(chat, qtbot)
    answer = chat.chat.turns[0].answers[0]
    qtbot.waitUntil(lambda: answer.tokens > 3, timeout=20_000)
    chat.send_button.click()
    finished(chat, qtbot)
    assert answer.finish == "stopped"
    assert answer.text
    assert chat.send_button.accessibleName() == "Send"


def test_a_seed_repeats_an_answer_and_again_asks_the_same_question(
    chat: ChatPage, qtbot: QtBot
) -> None:
    chat.settings.seed.setText("7")
    ask(chat, qtbot)
    finished(chat, qtbot)
    first = chat.chat.turns[0].answers[0].text
    chat.again_button.click()
    finished(chat, qtbot)
    assert len(chat.chat.turns) == 1
    assert chat.chat.turns[0].answers[0].text == first


def test_base_and_adapter_answer_side_by_side(chat: ChatPage, qtbot: QtBot) -> None:
    chat.settings.temperature.setValue(0)
    chat.settings.model_box.setCurrentIndex(2)
    chat.settings.model_box.activated.emit(2)
    ask(chat, qtbot)
    finished(chat, qtbot)
    tuned, base = chat.chat.turns[0].answers
    assert (tuned.model, base.model) == ("tiny+tuned", "tiny")
    assert tuned.text != base.text
    assert len(chat.view.turns[0].answers) == 2


def test_the_conversation_is_kept_over_pages_and_cleared_on_demand(
    chat: ChatPage, deck: Deck, qtbot: QtBot
) -> None:
    ask(chat, qtbot)
    finished(chat, qtbot)
    deck.window.navigate("deploy")
    deck.window.navigate("chat")
    assert len(chat.view.turns) == 1
    chat.clear_button.click()
    assert chat.view.turns == []
    assert chat.chat.turns == []


def test_a_refusal_of_the_server_stands_in_the_answer(chat: ChatPage, qtbot: QtBot) -> None:
    chat.settings.max_tokens.setValue(100_000)
    ask(chat, qtbot)
    finished(chat, qtbot)
    assert "max_tokens" in chat.view.turns[0].answers[0].problem.text()


def test_a_server_that_dies_ends_the_answer_and_is_no_longer_offered(
    chat: ChatPage, server: RunView, deck: Deck, qtbot: QtBot
) -> None:
    chat.settings.max_tokens.setValue(2000)
    ask(chat, qtbot)
    pid = deck.window.ctx.services.supervisor.view(server.run_id).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    finished(chat, qtbot)
    assert chat.chat.turns[0].answers[0].error
    qtbot.waitUntil(lambda: chat.settings.server_box.count() == 0, timeout=20_000)
    assert not chat.send_button.isEnabled()


def test_without_a_server_the_page_leads_to_one(deck: Deck) -> None:
    shown = page(deck, "chat")
    assert isinstance(shown, ChatPage)
    assert shown.empty.isVisible()
    shown.empty.button.click()
    assert deck.window.page("deploy").isVisible()
