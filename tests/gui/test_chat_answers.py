"""What becomes of an answer: thoughts, versions, edits, full servers, broken streams."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from pytestqt.qtbot import QtBot

from app.bootstrap import Deck
from app.viewmodels.chat import ChatModel
from app.viewmodels.chat_client import Problem, Target
from app.viewmodels.chat_turns import (
    Answer,
    ChatSettings,
    Turn,
    settings_of_request,
    turns_of_messages,
)
from app.widgets.chat_words import ChatWords
from core.chats import Conversation
from tests.gui.chat_server import Reply, ScriptedServer, piece, refusal, usage

Serve = Callable[..., ScriptedServer]
FINE = Reply(piece("Hi"), piece(" there", finish="stop"), usage(9, 3))


@pytest.fixture
def serve(qapp: object) -> Iterator[Serve]:
    made: list[ScriptedServer] = []

    def start(*replies: Reply) -> ScriptedServer:
        made.append(ScriptedServer(*replies))
        return made[-1]

    yield start
    for server in made:
        server.close()


@pytest.fixture
def chat(qapp: object) -> ChatModel:
    return ChatModel()


def ask(chat: ChatModel, qtbot: QtBot, question: str = "Hello") -> Answer:
    chat.ask(question)
    return over(chat, qtbot)


def over(chat: ChatModel, qtbot: QtBot) -> Answer:
    qtbot.waitUntil(lambda: not chat.busy, timeout=15_000)
    return chat.turns[-1].answers[0]


def test_pieces_become_an_answer_with_its_figures(
    chat: ChatModel, serve: Serve, qtbot: QtBot
) -> None:
    server = serve(Reply(piece(thought="hm"), piece("Hi", finish="stop"), usage(9, 5, 4, 2)))
    chat.targets = (server.target,)
    answer = ask(chat, qtbot)
    assert (answer.text, answer.reasoning, answer.finish) == ("Hi", "hm", "stop")
    assert (answer.prompt_tokens, answer.cached_tokens) == (9, 4)
    assert (answer.tokens, answer.reasoning_tokens) == (5, 2)
    assert answer.ttft_ms is not None
    assert answer.thought_s is not None


def test_only_parameters_that_were_set_are_sent(
    chat: ChatModel, serve: Serve, qtbot: QtBot
) -> None:
    server = serve(FINE)
    chat.targets = (server.target,)
    ask(chat, qtbot)
    chat.settings = ChatSettings(
        temperature=0.0, top_k=5, stop=("END",), seed=7, system="Be brief.",
        form="json_schema", schema='{"type": "object"}',
    )  # fmt: skip
    ask(chat, qtbot, "Again")
    first, second = server.asked
    assert not {"temperature", "top_p", "seed", "stop", "response_format"} & set(first)
    assert second["temperature"] == 0.0
    assert (second["top_k"], second["seed"], second["stop"]) == (5, 7, ["END"])
    assert second["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert second["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi there"},
        {"role": "user", "content": "Again"},
    ]


def test_thinking_is_switched_by_the_name_that_the_template_reads(
    chat: ChatModel, serve: Serve, qtbot: QtBot
) -> None:
    server = serve(FINE)
    plain = server.target
    chat.targets = (Target(plain.url, plain.key, plain.model, thinking="enable_thinking"),)
    chat.settings = ChatSettings(thinking=False)
    ask(chat, qtbot)
    chat.targets = (plain,)
    ask(chat, qtbot)
    assert server.asked[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert "chat_template_kwargs" not in server.asked[1]


def test_another_version_stands_beside_the_first_and_the_shown_one_goes_on(
    chat: ChatModel, serve: Serve, qtbot: QtBot
) -> None:
    server = serve(Reply(piece("one", finish="stop")), Reply(piece("two", finish="stop")), FINE)
    chat.targets = (server.target,)
    ask(chat, qtbot)
    chat.regenerate()
    assert over(chat, qtbot).text == "two"
    (column,) = chat.turns[0].columns
    assert [v.text for v in column.versions] == ["one", "two"]
    column.turn_page(-1)
    ask(chat, qtbot, "And?")
    assert server.asked[-1]["messages"][1]["content"] == "one"


def test_an_edited_question_replaces_what_follows_and_undo_brings_it_back(
    chat: ChatModel, serve: Serve, qtbot: QtBot
) -> None:
    chat.targets = (serve(FINE).target,)
    ask(chat, qtbot, "a")
    ask(chat, qtbot, "b")
    before = list(chat.turns)
    chat.edit(chat.turns[0], "A")
    over(chat, qtbot)
    assert [t.question for t in chat.turns] == ["A"]
    chat.undo()
    assert chat.turns == before
    assert not chat.can_undo


def test_a_deleted_question_comes_back_by_undo(chat: ChatModel, serve: Serve, qtbot: QtBot) -> None:
    server = serve(FINE)
    chat.targets = (server.target,)
    ask(chat, qtbot, "a")
    ask(chat, qtbot, "b")
    chat.delete(chat.turns[0])
    ask(chat, qtbot, "c")
    assert [m["content"] for m in server.asked[-1]["messages"]] == ["b", "Hi there", "c"]
    chat.undo()
    assert [t.question for t in chat.turns] == ["a", "b"]


def test_a_full_server_is_asked_again_when_it_said_to(
    chat: ChatModel, serve: Serve, qtbot: QtBot
) -> None:
    full = Reply(refusal("full", "queue_full"), status=503, headers={"Retry-After": "1"})
    server = serve(full, FINE)
    chat.targets = (server.target,)
    chat.ask("Hello")
    answer = chat.turns[0].answers[0]
    qtbot.waitUntil(lambda: answer.retry_at_s is not None)
    assert chat.busy
    assert answer.problem is not None
    assert over(chat, qtbot).text == "Hi there"
    assert answer.problem is None
    assert len(server.asked) == 2


def test_waiting_for_a_full_server_can_be_stopped(
    chat: ChatModel, serve: Serve, qtbot: QtBot
) -> None:
    full = Reply(refusal("slow", "rate_limited"), status=429, headers={"Retry-After": "60"})
    chat.targets = (serve(full).target,)
    chat.ask("Hello")
    answer = chat.turns[0].answers[0]
    qtbot.waitUntil(lambda: answer.retry_at_s is not None)
    chat.stop()
    assert over(chat, qtbot).finish == "stopped"
    assert answer.retry_at_s is None


def test_a_stream_that_breaks_leaves_what_was_said_and_can_be_tried_again(
    chat: ChatModel, serve: Serve, qtbot: QtBot
) -> None:
    chat.targets = (serve(Reply(piece("Half an"), torn=True), FINE).target,)
    answer = ask(chat, qtbot)
    assert (answer.text, answer.finish) == ("Half an", "broken")
    assert answer.problem is not None
    assert answer.problem.code == "broken"
    chat.regenerate()
    assert over(chat, qtbot).text == "Hi there"


def test_an_error_inside_a_stream_is_the_answer_s_problem(
    chat: ChatModel, serve: Serve, qtbot: QtBot
) -> None:
    chat.targets = (serve(Reply(piece("So"), refusal("it fell", "engine_error"))).target,)
    answer = ask(chat, qtbot)
    assert answer.text == "So"
    assert answer.problem == Problem("engine_error", "it fell")


def test_stop_keeps_what_was_said(chat: ChatModel, serve: Serve, qtbot: QtBot) -> None:
    hold = threading.Event()
    chat.targets = (serve(Reply(piece("Half"), hold=hold)).target,)
    chat.ask("Hello")
    answer = chat.turns[0].answers[0]
    qtbot.waitUntil(lambda: answer.text == "Half")
    chat.stop()
    assert over(chat, qtbot).finish == "stopped"
    hold.set()


def test_stopping_at_once_ends_the_answer_too(chat: ChatModel, serve: Serve, qtbot: QtBot) -> None:
    chat.targets = (serve(FINE).target,)
    chat.ask("Hello")
    chat.stop()
    answer = over(chat, qtbot)
    assert (answer.running, answer.finish) == (False, "stopped")


def test_two_servers_are_asked_the_same_and_each_remembers_its_own_words(
    chat: ChatModel, serve: Serve, qtbot: QtBot
) -> None:
    left = serve(Reply(piece("left", finish="stop")))
    right = serve(Reply(piece("right", finish="stop")))
    chat.targets = (left.target, right.target)
    ask(chat, qtbot)
    assert [a.text for a in chat.turns[0].answers] == ["left", "right"]
    ask(chat, qtbot, "More")
    assert left.asked[-1]["messages"][1]["content"] == "left"
    assert right.asked[-1]["messages"][1]["content"] == "right"


def test_a_conversation_opens_as_it_was_saved(chat: ChatModel, serve: Serve, qtbot: QtBot) -> None:
    chat.targets = (serve(Reply(piece(thought="t"), piece("a"), usage(3, 2))).target,)
    chat.settings = ChatSettings(temperature=0.5, stop=("x",), system="S")
    ask(chat, qtbot)
    chat.regenerate()
    over(chat, qtbot)
    kept = chat.document()
    other = ChatModel()
    other.open(Conversation.model_validate_json(kept.model_dump_json()))
    other.settings = ChatSettings.of(kept.parameters, kept.system)
    again = other.document()
    assert again.turns == kept.turns
    assert (other.settings, again.title) == (chat.settings, "Hello")


def test_a_remembered_request_becomes_a_conversation_with_its_parameters() -> None:
    system, turns = turns_of_messages(
        [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "q1"},
            {"role": "assistant", "content": "a1", "reasoning": "t1"},
            {"role": "tool", "content": "ignored"},
            {"role": "user", "content": "q2"},
        ],
        "m",
    )
    assert system == "S"
    assert [t.question for t in turns] == ["q1", "q2"]
    assert (turns[0].answers[0].text, turns[0].answers[0].reasoning) == ("a1", "t1")
    assert turns[1].columns == []
    body = {
        "temperature": 0.3, "max_completion_tokens": 50, "stop": "END", "top_k": "many",
        "response_format": {"type": "json_object"},
    }  # fmt: skip
    made = settings_of_request(body, system)
    assert made == ChatSettings(
        temperature=0.3, max_tokens=50, stop=("END",), form="json_object", system="S"
    )


def test_a_prompt_too_long_is_told_with_its_numbers_in_both_languages(deck: Deck) -> None:
    said = "the prompt has 9001 tokens, but the context holds 4096, the answer included"
    problem = Problem("context_length_exceeded", said, 400)
    words = ChatWords()
    english = words.problem(problem, partial=False)
    deck.window.ctx.language.set_choice("zh_CN")
    chinese = words.problem(problem, partial=False)
    for text in (english, chinese):
        assert "9,001" in text
        assert "4,096" in text
    assert chinese != english


@pytest.mark.parametrize(
    "problem",
    [
        Problem("unreachable"), Problem("broken"), Problem("invalid_api_key", "x", 401),
        Problem("key_rate", "x", 429), Problem("queue_full", "x", 503), Problem("failed", "x", 503),
        Problem("cancelled", "x", 403), Problem("model_not_found", "x", 404),
    ],
)  # fmt: skip
def test_known_failures_are_told_in_chinese_without_the_server_s_english(
    deck: Deck, problem: Problem
) -> None:
    deck.window.ctx.language.set_choice("zh_CN")
    text = ChatWords().problem(problem, partial=False)
    assert text.endswith("。")
    assert "x" not in text.replace("API", "")


def test_turns_without_an_answer_are_not_told_to_the_model(
    chat: ChatModel, serve: Serve, qtbot: QtBot
) -> None:
    server = serve(FINE)
    chat.targets = (server.target,)
    chat.turns = [Turn("never answered")]
    ask(chat, qtbot, "now")
    assert [m["content"] for m in server.asked[0]["messages"]] == ["now"]


def test_a_refusal_makes_room_for_the_answer_that_follows(
    chat: ChatModel, serve: Serve, qtbot: QtBot
) -> None:
    chat.targets = (serve(Reply(refusal("no", "failed"), status=503), FINE).target,)
    assert ask(chat, qtbot).problem is not None
    chat.regenerate()
    assert over(chat, qtbot).text == "Hi there"
    assert len(chat.turns[0].columns[0].versions) == 1


def test_a_thought_that_was_cut_goes_on_as_a_thought_until_its_tag(
    chat: ChatModel, serve: Serve, qtbot: QtBot
) -> None:
    raw = [{"choices": [{"index": 0, "text": t}]} for t in (" and", " so</thi", "nk>\n\nYes")]
    raw[-1]["choices"][0]["finish_reason"] = "stop"
    tokens = {"tokens": [1, 2], "token_strs": ["<think>", "\n"]}
    server = serve(
        Reply(piece(thought="Because", finish="length"), usage(4, 2, thought=2)),
        Reply(tokens, whole=True),
        Reply({"tokens": [3]}, whole=True),
        Reply(*raw, usage(7, 5, 6)),
    )
    chat.targets = (server.target,)
    answer = ask(chat, qtbot)
    chat.go_on(0)
    over(chat, qtbot)
    assert (answer.reasoning, answer.text) == ("Because and so", "Yes")
    assert (answer.tokens, answer.finish) == (7, "stop")
    assert (answer.prompt_tokens, answer.cached_tokens) == (4, 0)
    assert server.asked[2]["prompt"] == "Because"
    assert server.asked[3]["prompt"] == [1, 2, 3]
