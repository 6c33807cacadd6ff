"""Completions, the guide's route, embeddings and tokens, from the front over a scripted engine."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

pytest.importorskip("transformers")

from tests.serve_front import Front, nothing, saying
from tests.tiny_models import tiny_tokenizer
from workers.serve.engines.base import NO_TOKEN, Ticket, TokenEvent, TokenLogprob
from workers.serve.http.answers import EmbeddingList, Generated, TextCompletion, Tokenized

COMPLETE = "/v1/completions"


def scored(ticket: Ticket) -> list[TokenEvent]:
    """Prompt scores as an engine gives them: none for the first token, then -0.1, -0.2, ..."""
    tokens = ticket.prompt
    scores = [TokenLogprob(-0.1 * i, ((5, -0.05), (6, -3.0))) for i in range(1, len(tokens))]
    event = TokenEvent(NO_TOKEN, "length", prompt_logprobs=(None, *scores))
    if ticket.params.max_new_tokens == 0:
        return [event]
    new = TokenLogprob(-0.7, ((9, -0.7), (6, -3.0)))
    return [TokenEvent(9, "length", logprob=new, prompt_logprobs=event.prompt_logprobs)]


def test_a_prompt_is_scored_without_writing_anything() -> None:
    """What lm-evaluation-harness asks for."""
    body = {"prompt": [5, 6, 7], "echo": True, "logprobs": 1, "max_tokens": 0}
    front = Front(scored)
    choice = front.ask(COMPLETE, body).json()["choices"][0]
    assert choice["logprobs"]["token_logprobs"] == [None, -0.1, -0.2]
    assert choice["logprobs"]["top_logprobs"][0] is None
    assert choice["text"] == "".join(choice["logprobs"]["tokens"])
    assert choice["logprobs"]["text_offset"] == [0, 1, 2]
    params = front.engine.tickets[0].params
    assert (params.max_new_tokens, params.prompt_logprobs) == (0, 1)


def test_an_echoed_answer_goes_on_behind_its_prompt() -> None:
    body = {"prompt": [5, 6, 7], "echo": True, "logprobs": 2, "max_tokens": 1}
    answer = TextCompletion.model_validate_json(Front(scored).ask(COMPLETE, body).text)
    found = answer.choices[0].logprobs
    assert found is not None
    assert found.token_logprobs == [None, -0.1, -0.2, -0.7]
    assert found.text_offset == [0, 1, 2, 3]
    assert answer.choices[0].text == "".join(found.tokens)
    assert answer.usage.completion_tokens == 1


def test_the_chosen_token_is_always_among_the_alternatives() -> None:
    body = {"prompt": [5, 8, 7], "echo": True, "logprobs": 2, "max_tokens": 0}
    tops = Front(scored).ask(COMPLETE, body).json()["choices"][0]["logprobs"]["top_logprobs"]
    assert sorted(tops[1].values()) == [-3.0, -0.1, -0.05]


def test_echo_without_scores_asks_none_of_the_engine() -> None:
    front = Front(features=frozenset())
    answer = front.ask(COMPLETE, {"prompt": "The fox", "echo": True}).json()
    assert answer["choices"][0]["text"] == "The foxHello there"
    assert front.engine.tickets[0].params.prompt_logprobs is None


def test_a_streamed_echo_comes_first() -> None:
    response = Front().ask(COMPLETE, {"prompt": "The fox", "echo": True, "stream": True})
    texts = [
        json.loads(line.removeprefix("data: "))["choices"][0]["text"]
        for line in response.text.splitlines()
        if line.startswith("data: {")
    ]
    assert texts[0].startswith("The fox")
    assert "".join(texts) == "The foxHello there"


def test_several_prompts_are_answered_in_their_order() -> None:
    body = {"prompt": ["a", "b"], "n": 2}
    answer = Front().ask(COMPLETE, body).json()
    assert [c["index"] for c in answer["choices"]] == [0, 1, 2, 3]
    assert answer["usage"]["prompt_tokens"] == 4  # two times BOS and a letter


def test_best_of_answers_with_the_most_probable() -> None:
    chances = iter([-3.0, -1.0, -2.0])

    def script(ticket: Ticket) -> list[TokenEvent]:
        assert ticket.params.logprobs == 0
        chance = next(chances)
        return [TokenEvent(70 + int(-chance), "length", logprob=TokenLogprob(chance))]

    front = Front(script)
    answer = front.ask(COMPLETE, {"prompt": "a", "n": 2, "best_of": 3}).json()
    text_of = [front.tokenizer.decode([70 + i]) for i in range(4)]
    assert [c["text"] for c in answer["choices"]] == [text_of[1], text_of[2]]
    assert answer["choices"][0]["logprobs"] is None
    assert answer["usage"]["completion_tokens"] == 3


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"suffix": "end"}, "suffix"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"best_of": 2, "stream": True}, "best_of"),
    ({"best_of": 1, "n": 2}, "best_of"),
    ({"best_of": 99}, "best_of"),
    ({"prompt": ["a", ""]}, "prompt"),
    ({"logprobs": 21}, "logprobs"),
]


@pytest.mark.parametrize(("more", "param"), REFUSED)
def test_what_cannot_be_done_is_refused_by_its_name(more: dict[str, Any], param: str) -> None:
    response = Front().ask(COMPLETE, {"prompt": "a"} | more)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_an_engine_that_cannot_score_says_which_engine() -> None:
    body = {"prompt": "a", "echo": True, "logprobs": 1}
    error = Front(features=frozenset()).ask(COMPLETE, body).json()["error"]
    assert (error["param"], error["code"]) == ("echo", "unsupported_by_engine")
    assert "scripted" in error["message"]


# -- /generate ----------------------------------------------------------------------------------


def test_generate_takes_the_names_of_transformers() -> None:
    front = Front()
    body = {"prompt": "The fox", "max_new_tokens": 5, "do_sample": False, "top_p": 0.5,
            "repetition_penalty": 1.2, "num_return_sequences": 2}  # fmt: skip
    answer = Generated.model_validate_json(front.ask("/generate", body).text)
    assert answer.texts == ["Hello there", "Hello there"]
    params = front.engine.tickets[0].params
    assert params.greedy
    assert (params.max_new_tokens, params.top_p, params.repetition_penalty) == (5, 0.5, 1.2)


def test_max_length_counts_the_prompt_as_generate_does() -> None:
    front = Front()
    prompt = len(tiny_tokenizer().encode("The fox"))
    front.ask("/generate", {"prompt": "The fox", "max_length": prompt + 3})
    assert front.engine.tickets[0].params.max_new_tokens == 3
    refused = front.ask("/generate", {"prompt": "The fox", "max_length": prompt})
    assert refused.json()["error"]["param"] == "max_length"
    both = {"prompt": "The fox", "max_length": 2, "max_new_tokens": 4}
    assert front.ask("/generate", both).status_code == 200
    assert front.engine.tickets[-1].params.max_new_tokens == 4


def test_generate_can_give_the_prompt_back_whole_and_streamed() -> None:
    body = {"prompt": "The fox", "return_full_text": True}
    assert Front().ask("/generate", body).json()["text"] == "The foxHello there"
    streamed = Front().ask("/generate", body | {"stream": True}).text
    texts = [json.loads(x[6:])["text"] for x in streamed.splitlines() if x.startswith("data: {")]
    assert "".join(texts) == "The foxHello there"


def test_beam_search_is_refused() -> None:
    response = Front().ask("/generate", {"prompt": "a", "num_beams": 4})
    assert response.json()["error"]["param"] == "num_beams"


# -- embeddings and tokens ----------------------------------------------------------------------

VECTOR = (0.6, -0.8, 0.0)


@pytest.mark.parametrize("given", ["The fox", ["a", "b"], [5, 6], [[5, 6], [7]]])
def test_vectors_come_one_a_text_as_numbers_and_as_base64(given: Any) -> None:
    front = Front(nothing(embedding=VECTOR))
    body = {"input": given}
    answer = EmbeddingList.model_validate_json(front.ask("/v1/embeddings", body).text)
    packed = front.ask("/v1/embeddings", body | {"encoding_format": "base64"}).json()
    assert all(t.params.embed for t in front.engine.tickets)
    for item, other in zip(answer.data, packed["data"], strict=True):
        assert item.embedding == list(VECTOR)
        raw = base64.b64decode(other["embedding"])
        assert struct.unpack("<3f", raw) == pytest.approx(VECTOR)
    assert answer.usage.prompt_tokens == sum(len(t.prompt) for t in front.engine.tickets) / 2


def test_embeddings_are_refused_where_the_engine_has_none() -> None:
    error = Front(features=frozenset()).ask("/v1/embeddings", {"input": "a"})
    assert (error.status_code, error.json()["error"]["code"]) == (400, "unsupported_by_engine")


def test_other_dimensions_than_the_models_are_refused() -> None:
    front = Front(nothing(embedding=VECTOR))
    assert front.ask("/v1/embeddings", {"input": "a", "dimensions": 3}).status_code == 200
    refused = front.ask("/v1/embeddings", {"input": "a", "dimensions": 2})
    assert refused.json()["error"]["param"] == "dimensions"


def test_text_becomes_tokens_and_text_again() -> None:
    front = Front()
    found = Tokenized.model_validate_json(
        front.ask("/tokenize", {"prompt": "你好 fox", "return_token_strs": True}).text
    )
    assert found.tokens == front.tokenizer.encode("你好 fox")
    assert found.count == len(found.tokens) == len(found.token_strs or ())
    bare = front.ask("/tokenize", {"prompt": "你好 fox", "add_special_tokens": False}).json()
    assert front.ask("/detokenize", {"tokens": bare["tokens"]}).json() == {"prompt": "你好 fox"}


def test_messages_are_tokenized_as_a_chat_would_read_them() -> None:
    front = Front(saying("Hi", tiny_tokenizer()))
    front.chat("Hello")
    messages = [{"role": "user", "content": "Hello"}]
    found = front.ask("/tokenize", {"messages": messages}).json()
    assert found["tokens"] == front.engine.tickets[0].prompt
    assert front.ask("/tokenize", {"messages": messages, "prompt": "x"}).status_code == 400
    assert front.ask("/tokenize", {}).status_code == 400


def test_ids_behind_the_vocabulary_have_no_text() -> None:
    assert Front().ask("/detokenize", {"tokens": [10**6]}).status_code == 400
    assert Front().ask("/detokenize", {"tokens": []}).json() == {"prompt": ""}
