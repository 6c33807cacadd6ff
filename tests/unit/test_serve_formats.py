"""Chats as clients read them, whole and streamed, from the real front over a scripted engine."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

pytest.importorskip("transformers")

from tests.serve_front import KEY, Front, saying
from tests.tiny_models import PLAIN_TEMPLATE, tiny_tokenizer
from workers.serve.engines.base import EngineError, TokenEvent
from workers.serve.http import labels
from workers.serve.http.answers import ChatCompletion, ErrorAnswer

USAGE = {"stream": True, "stream_options": {"include_usage": True}}


def events(text: str) -> list[Any]:
    """Documents of a stream, and its last word."""
    blocks = [b for b in text.split("\n\n") if b and not b.startswith(":")]
    assert all(b.startswith("data: ") for b in blocks)
    found = [b.removeprefix("data: ") for b in blocks]
    return [json.loads(f) if f.startswith("{") else f for f in found]


def thinking() -> Any:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = PLAIN_TEMPLATE.replace(
        "'Assistant: ' }}{% endif", "'A: <think>\n' }}{% endif"
    )
    return tokenizer


def test_a_stream_is_role_words_end_usage_and_done() -> None:
    found = events(Front().chat(**USAGE).text)
    chunks = [c["choices"][0] for c in found[:-2]]
    assert chunks[0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(c["delta"]["content"] for c in chunks[:-1]) == "Hello there"
    assert [c["finish_reason"] for c in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert chunks[-1]["delta"] == {}
    assert found[-2]["choices"] == []
    assert found[-2]["usage"]["completion_tokens"] == 9
    assert found[-1] == "[DONE]"
    assert len({c["id"] for c in found[:-1]}) == 1


@pytest.mark.parametrize("more", [{}, {"logprobs": True, "top_logprobs": 2}, {"n": 3}])
def test_whole_answers_have_the_documented_shape(more: dict[str, Any]) -> None:
    answer = ChatCompletion.model_validate_json(Front().chat(**more).text)
    assert [c.message.content for c in answer.choices] == ["Hello there"] * more.get("n", 1)


def test_text_with_every_kind_of_character_survives_the_fast_path() -> None:
    text = 'a "quoted" \\ line\nbreak\ttab \u2028 你好 🎉 \x7f\x01'
    front = Front(saying(text, tiny_tokenizer()))
    chunks = events(front.chat(stream=True).text)[:-1]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == text
    assert front.chat().json()["choices"][0]["message"]["content"] == text


def test_streamed_choices_are_told_apart() -> None:
    texts = {0: "", 1: "", 2: ""}
    for chunk in events(Front().chat(stream=True, n=3).text)[:-1]:
        choice = chunk["choices"][0]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert set(texts.values()) == {"Hello there"}


def test_each_answer_of_n_has_random_numbers_of_its_own() -> None:
    front = Front()
    front.chat(n=3, seed=7)
    assert [t.params.seed for t in front.engine.tickets] == ["7", "7:1", "7:2"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_thought_that_the_prompt_opened_is_told_under_both_names(stream: bool) -> None:
    tokenizer = thinking()
    front = Front(saying("so be it</think>\n\nYes", tokenizer), tokenizer)
    response = front.chat(stream=stream)
    if stream:
        deltas = [c["choices"][0]["delta"] for c in events(response.text)[:-1]]
        said = {k: "".join(d.get(k, "") for d in deltas)
                for k in ("content", "reasoning", "reasoning_content")}  # fmt: skip
    else:
        said = response.json()["choices"][0]["message"]
    assert (said["reasoning"], said["reasoning_content"]) == ("so be it", "so be it")
    assert said["content"] == "Yes"


def test_reasoning_tokens_are_counted_and_the_raw_text_can_be_had() -> None:
    tokenizer = thinking()
    front = Front(saying("so be it</think>\n\nYes", tokenizer), tokenizer)
    details = front.chat().json()["usage"]["completion_tokens_details"]
    assert 8 < details["reasoning_tokens"] < front.events[0].completion_tokens
    raw = front.chat(include_reasoning=False).json()["choices"][0]["message"]
    assert raw["content"] == "so be it</think>\n\nYes"
    assert "reasoning" not in raw


def test_a_thought_that_never_ends_says_so_by_its_length() -> None:
    tokenizer = thinking()
    front = Front(saying("hm and hm", tokenizer, finish="length"), tokenizer)
    choice = front.chat().json()["choices"][0]
    assert choice["finish_reason"] == "length"
    assert (choice["message"]["content"], choice["message"]["reasoning"]) == ("", "hm and hm")


def test_tokens_that_the_cache_knew_are_in_the_usage() -> None:
    front = Front(saying("Hi", tiny_tokenizer(), cached_tokens=11))
    assert front.chat().json()["usage"]["prompt_tokens_details"] == {"cached_tokens": 11}
    assert front.chat(n=4).json()["usage"]["prompt_tokens_details"] == {"cached_tokens": 11}


def test_bytes_of_a_torn_token_are_its_real_bytes() -> None:
    tokenizer = tiny_tokenizer()
    first, *_ = tokenizer.encode("🎉", add_special_tokens=False)
    front = Front(lambda _: [TokenEvent(first, "length")], tokenizer)
    answer = front.ask("/detokenize", {"tokens": [first]})
    assert answer.status_code == 200
    assert front.state.loaded is not None
    assert front.state.loaded.prompter.token_text(first) == ("\ufffd", [0xF0])


def test_an_engine_that_dies_early_is_a_503_and_late_an_event() -> None:
    front = Front(lambda _: [EngineError("it crashed")])
    early = front.chat(stream=True)
    assert early.status_code == 503
    assert int(early.headers["retry-after"]) >= 1
    ErrorAnswer.model_validate_json(early.text)
    late = events(
        Front(lambda _: [TokenEvent(70), EngineError("it crashed")]).chat(stream=True).text
    )
    assert late[-2]["error"]["code"] == "engine_error"
    assert late[-1] == "[DONE]"


def test_a_stop_string_ends_the_row_in_the_engine_too() -> None:
    front = Front(saying("one two three four", tiny_tokenizer()))
    answer = front.chat(stop=[" three", "x"]).json()["choices"][0]
    assert (answer["message"]["content"], answer["finish_reason"]) == ("one two", "stop")
    assert front.chat(stop="two", stream=True).status_code == 200
    assert front.engine.tickets[-1] in front.engine.cancelled


LABELED = {"ai_label": True}


def test_a_labeled_answer_says_so_in_header_field_and_text() -> None:
    response = Front(**LABELED).chat()
    document = response.json()
    assert response.headers["x-ai-generated"] == "true"
    assert document["ai_generated"] is True
    assert document["aigc"]["Label"] == "1"
    assert document["choices"][0]["message"]["content"] == "Hello there" + labels.VISIBLE
    assert "人工智能" in labels.VISIBLE


def test_every_chunk_of_a_labeled_stream_has_the_field_and_its_end_the_text() -> None:
    found = events(Front(**LABELED).chat(**USAGE).text)[:-1]
    assert all(c["ai_generated"] is True for c in found)
    said = "".join(c["choices"][0]["delta"].get("content", "") for c in found if c["choices"])
    assert said == "Hello there" + labels.VISIBLE


def test_json_is_labeled_in_its_envelope_only() -> None:
    front = Front(saying("{}", tiny_tokenizer()), **LABELED)
    answer = front.chat(response_format={"type": "json_object"}).json()
    assert answer["choices"][0]["message"]["content"] == "{}"
    assert answer["ai_generated"] is True


def test_without_the_option_nothing_is_labeled() -> None:
    response = Front().chat()
    assert "x-ai-generated" not in response.headers
    assert "ai_generated" not in response.json()


# -- how a stream is written --------------------------------------------------------------------


def test_a_silent_stream_is_kept_alive_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.serve.http.generation.PING_S", 0.02)
    front = Front()
    whole = front.engine._play

    async def slowly(ticket: Any) -> None:
        await asyncio.sleep(0.2)
        await whole(ticket)

    monkeypatch.setattr(front.engine, "_play", slowly)
    text = front.chat(stream=True).text
    assert text.count(": ping\n\n") >= 2
    assert events(text)[-1] == "[DONE]"
    assert "".join(
        c["choices"][0]["delta"].get("content", "") for c in events(text)[:-1]
    ) == "Hello there"  # fmt: skip


def chunks_of_each(streams: int) -> list[int]:
    """How many pieces of text each of so many streams at once is written in."""
    front = Front(saying("word " * 40, tiny_tokenizer()), queue_limit=500)
    front.engine._bite = 1
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}

    async def go() -> list[int]:
        transport = httpx.ASGITransport(app=front.app)
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers
        ) as client:
            asked = [client.post("/v1/chat/completions", json=body) for _ in range(streams)]
            answers = await asyncio.gather(*asked)
        found = [events(a.text)[1:-2] for a in answers]
        texts = {"".join(c["choices"][0]["delta"]["content"] for c in f) for f in found}
        assert texts == {"word " * 40}
        return [len(f) for f in found]

    return asyncio.run(go())


def test_one_stream_is_written_token_by_token_and_many_in_larger_pieces() -> None:
    (alone,) = chunks_of_each(1)
    many = chunks_of_each(24)
    assert alone > 100
    assert max(many) < alone / 4
