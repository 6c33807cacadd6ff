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
    qtbot.waitUntil(lambda: shown.settings.first_box.count() == 2, timeout=10_000)
    shown.settings.sampling.max_tokens.setValue(40)
    return shown


def ask(chat: ChatPage, qtbot: QtBot, question: str = "Hello") -> None:
    chat.input.setPlainText(question)
    qtbot.keyClick(chat.input, Qt.Key.Key_Return)
    assert chat.chat.busy


def finished(chat: ChatPage, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not chat.chat.busy, timeout=30_000)
    chat.view._draw()


def compare(chat: ChatPage) -> None:
    chat.settings.second_box.setCurrentIndex(2)
    chat.settings.second_box.activated.emit(2)


def test_an_answer_streams_in_with_its_figures(chat: ChatPage, qtbot: QtBot) -> None:
    ask(chat, qtbot, "<b>Hello</b>")
    finished(chat, qtbot)
    (turn,) = chat.view.turns
    (answer,) = turn.answers
    assert turn.question.text.text() == "<b>Hello</b>"
    assert turn.question.text.textFormat() == Qt.TextFormat.PlainText
    assert answer.text.text == chat.chat.turns[0].answers[0].text != ""
    facts = answer.facts.text().replace("\u2060", "").replace("\u00a0", " ")
    for words in ("first token", "tokens/s", " in", " out"):
        assert words in facts
    assert chat.input.toPlainText() == ""


def test_escape_leaves_the_stream_and_keeps_what_was_said(chat: ChatPage, qtbot: QtBot) -> None:
    chat.settings.sampling.max_tokens.setValue(2000)
    ask(chat, qtbot)
    answer = chat.chat.turns[0].answers[0]
    qtbot.waitUntil(lambda: answer.tokens > 3, timeout=20_000)
    qtbot.keyClick(chat.input, Qt.Key.Key_Escape)
    finished(chat, qtbot)
    assert answer.finish == "stopped"
    assert answer.text
    assert chat.send_button.accessibleName() == "Send"


def test_a_seed_repeats_an_answer_and_versions_can_be_paged(chat: ChatPage, qtbot: QtBot) -> None:
    chat.settings.sampling.seed.setText("7")
    ask(chat, qtbot)
    finished(chat, qtbot)
    first = chat.chat.turns[0].answers[0].text
    chat.view.turns[0].answers[0].again_button.click()
    finished(chat, qtbot)
    bubble = chat.view.turns[0].answers[0]
    assert chat.chat.turns[0].answers[0].text == first
    assert bubble.page_label.text() == "2/2"
    bubble.back_button.click()
    assert bubble.page_label.text() == "1/2"


def test_an_answer_cut_at_the_limit_is_continued_as_if_it_never_stopped(
    chat: ChatPage, qtbot: QtBot
) -> None:
    chat.settings.sampling.temperature.setValue(0)
    chat.settings.sampling.max_tokens.setValue(24)
    ask(chat, qtbot)
    finished(chat, qtbot)
    whole = chat.chat.turns[0].answers[0]
    assert whole.finish == "length"
    chat.settings.sampling.max_tokens.setValue(12)
    chat.view.turns[0].answers[0].again_button.click()
    finished(chat, qtbot)
    answer = chat.chat.turns[0].answers[0]
    half = answer.text
    chat.view.turns[0].answers[0].continue_button.click()
    finished(chat, qtbot)
    assert answer.text.startswith(half)
    assert len(answer.text) > len(half)
    assert answer.tokens == 24


def test_base_and_adapter_answer_side_by_side(chat: ChatPage, qtbot: QtBot) -> None:
    chat.settings.sampling.temperature.setValue(0)
    compare(chat)
    ask(chat, qtbot)
    finished(chat, qtbot)
    one, other = chat.chat.turns[0].answers
    assert {one.model, other.model} == {"tiny", "tiny:tuned"}
    assert one.text != other.text
    for bubble in chat.view.turns[0].answers:
        assert "tokens/s" in bubble.facts.text().replace("\u2060", "").replace("\u00a0", " ")


def test_an_answer_in_json_is_json(chat: ChatPage, qtbot: QtBot) -> None:
    form = chat.settings.sampling.form_box
    form.setCurrentIndex(form.findData("json_schema"))
    chat.settings.sampling.schema.setPlainText("{nothing")
    chat.input.setPlainText("Hello")
    qtbot.keyClick(chat.input, Qt.Key.Key_Return)
    assert not chat.chat.busy
    assert "JSON" in chat.settings.sampling.rows["schema"].error
    chat.settings.sampling.schema.setPlainText('{"enum": ["yes", "no"]}')
    ask(chat, qtbot)
    finished(chat, qtbot)
    assert chat.chat.turns[0].answers[0].text.strip() in ('"yes"', '"no"')


def test_a_prompt_beyond_the_context_offers_a_shorter_conversation(
    chat: ChatPage, qtbot: QtBot
) -> None:
    ask(chat, qtbot, "word " * 5000)
    finished(chat, qtbot)
    bubble = chat.view.turns[0].answers[0]
    assert "4,096" in bubble.problem.text()
    bubble.shorter_button.click()
    assert chat.chat.turns == []
    assert chat.input.toPlainText().startswith("word")


def test_a_request_of_the_table_opens_with_its_messages_and_parameters(
    chat: ChatPage, deck: Deck, server: RunView
) -> None:
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    body = {"model": "tiny", "temperature": 0.3, "messages": messages[:1]}
    deck.window.navigate("chat", run_id=server.run_id, messages=messages, request={"request": body})
    assert [t.question for t in chat.chat.turns] == ["q"]
    assert chat.view.turns[0].answers[0].text.text == "a"
    assert chat.settings.settings().temperature == 0.3
    assert chat.chat.models == ("tiny",)


def test_a_server_that_dies_ends_the_answer_and_is_no_longer_offered(
    chat: ChatPage, server: RunView, deck: Deck, qtbot: QtBot
) -> None:
    chat.settings.sampling.max_tokens.setValue(2000)
    ask(chat, qtbot)
    answer = chat.chat.turns[0].answers[0]
    qtbot.waitUntil(lambda: answer.tokens > 3, timeout=20_000)
    pid = deck.window.ctx.services.supervisor.view(server.run_id).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    finished(chat, qtbot)
    assert answer.problem is not None
    assert answer.text
    assert "stays" in chat.view.turns[0].answers[0].problem.text()
    qtbot.waitUntil(lambda: chat.settings.first_box.count() == 0, timeout=20_000)
    assert not chat.send_button.isEnabled()


def test_without_a_server_the_page_leads_to_one(deck: Deck) -> None:
    shown = page(deck, "chat")
    assert isinstance(shown, ChatPage)
    assert shown.empty.isVisible()
    shown.empty.button.click()
    assert deck.window.page("deploy").isVisible()
