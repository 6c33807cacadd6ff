"""What the whole API promises, against the real server process and the real engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

pytest.importorskip("torch")

import torch

from tests.e2e.serve_process import ServerProcess, serving
from tests.tiny_models import build_tiny
from workers.serve.http.answers import ChatCompletion, EmbeddingList, Generated, TextCompletion

CHAT = "/v1/chat/completions"
ASK: list[Any] = [{"role": "user", "content": "What does it return?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"unit": {"enum": ["C", "F"]}},
            "required": ["unit"],
            "additionalProperties": False,
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "level": {"enum": ["low", "high"]}},
    "required": ["ok", "level"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    return build_tiny(folder, "llama", max_position_embeddings=2048)


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("home"), model) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0)


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with server.client() as found:
        yield found


# -- forms and functions ------------------------------------------------------------------------


def test_an_answer_under_a_schema_fulfills_it(client: openai.OpenAI) -> None:
    """A model of random weights would never write JSON by itself."""
    answer = client.chat.completions.create(
        model="tiny",
        messages=ASK,
        max_tokens=200,
        seed=1,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    )
    assert answer.choices[0].finish_reason == "stop"
    found = json.loads(answer.choices[0].message.content or "")
    assert isinstance(found["ok"], bool)
    assert found["level"] in ("low", "high")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}]
)
def test_a_function_that_must_be_called_is_called(
    client: openai.OpenAI, choice: Any, stream: bool
) -> None:
    answer: Any = client.chat.completions.create(
        model="tiny",
        messages=ASK,
        tools=[WEATHER],
        tool_choice=choice,
        parallel_tool_calls=False,
        max_tokens=200,
        seed=3,
        stream=stream,
    )
    if stream:
        chunks = [c.choices[0] for c in answer]
        calls = [c for chunk in chunks for c in chunk.delta.tool_calls or ()]
        finish = chunks[-1].finish_reason
    else:
        calls, finish = answer.choices[0].message.tool_calls, answer.choices[0].finish_reason
    assert finish == "tool_calls"
    assert [c.function.name for c in calls] == ["get_weather"]
    assert json.loads(calls[0].function.arguments)["unit"] in ("C", "F")


def test_a_conversation_with_calls_and_results_goes_on(client: openai.OpenAI) -> None:
    first: Any = client.chat.completions.create(
        model="tiny", messages=ASK, tools=[WEATHER], tool_choice="required",
        parallel_tool_calls=False, max_tokens=200, seed=3,
    )  # fmt: skip
    message = first.choices[0].message
    call = message.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": "21"}
    second = client.chat.completions.create(
        model="tiny", messages=[*ASK, message, result], tools=[WEATHER], max_tokens=4
    )
    assert second.usage is not None
    assert first.usage is not None
    assert second.usage.prompt_tokens > first.usage.prompt_tokens


def test_a_schema_that_cannot_be_is_refused_with_its_reason(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model="tiny",
            messages=ASK,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "gizmo"}},
            },
        )
    assert refused.value.param == "response_format"
    assert "gizmo" in refused.value.message


# -- scores -------------------------------------------------------------------------------------


def loglikelihood(http: httpx.Client, context: list[int], answer: list[int]) -> tuple[float, bool]:
    """As lm-evaluation-harness's `local-completions` asks and reads it."""
    body = {"prompt": [context + answer], "max_tokens": 1, "logprobs": 1, "echo": True,
            "temperature": 0, "seed": 1234}  # fmt: skip
    choice = http.post("/v1/completions", json=body).raise_for_status().json()["choices"][0]
    scores = choice["logprobs"]["token_logprobs"][len(context) : -1]
    tops = choice["logprobs"]["top_logprobs"][len(context) : -1]
    greedy = all(s == max(t.values()) for s, t in zip(scores, tops, strict=True))
    return sum(scores), greedy


def in_process(model: Path, context: list[int], answer: list[int]) -> tuple[float, bool]:
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = loaded(torch.tensor([context + answer])).logits[0, len(context) - 1 : -1]
    scores = logits.log_softmax(-1)
    chosen = scores.gather(1, torch.tensor(answer)[:, None]).sum().item()
    return chosen, scores.argmax(-1).tolist() == answer


CASES = [([1, 7, 9], [30, 31, 32]), ([1, 50, 60, 70, 80], [90]), ([5], [6, 7, 8, 9, 10, 11])]


@pytest.mark.parametrize(("context", "answer"), CASES)
def test_scores_over_http_are_those_of_the_model(
    http: httpx.Client, model: Path, context: list[int], answer: list[int]
) -> None:
    assert loglikelihood(http, context, answer) == pytest.approx(
        in_process(model, context, answer), rel=1e-4
    )


def test_the_greedy_answer_is_known_as_greedy(http: httpx.Client, model: Path) -> None:
    body = {"prompt": [1, 7, 9], "max_tokens": 3, "logprobs": 0, "temperature": 0}
    http.post("/v1/completions", json=body | {"ignore_eos": True}).raise_for_status()
    tokenized = http.post("/tokenize", json={"prompt": "x"}).raise_for_status()
    assert tokenized.json()["count"] >= 1
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    prompt = torch.tensor([[1, 7, 9]])
    best = loaded.generate(
        prompt, max_new_tokens=3, do_sample=False, eos_token_id=-1, pad_token_id=0
    )
    answer = best[0, 3:].tolist()
    assert loglikelihood(http, [1, 7, 9], answer)[1] is True
    assert loglikelihood(http, [1, 7, 9], [answer[0], answer[1], answer[2] ^ 1])[1] is False


def test_a_prompt_alone_is_scored(http: httpx.Client) -> None:
    body = {"prompt": "The quick fox", "max_tokens": 0, "logprobs": 0, "echo": True}
    answer = TextCompletion.model_validate_json(http.post("/v1/completions", json=body).text)
    assert answer.choices[0].text == "The quick fox"
    assert answer.usage.completion_tokens == 0
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert len(logprobs.tokens) == answer.usage.prompt_tokens


def test_the_best_of_several_is_answered(http: httpx.Client) -> None:
    body = {"prompt": "The fox", "max_tokens": 6, "best_of": 4, "seed": 5, "logprobs": 0}
    every = http.post("/v1/completions", json=body | {"best_of": None, "n": 4}).json()["choices"]
    best = http.post("/v1/completions", json=body).json()["choices"]

    def mean(choice: Any) -> float:
        scores = choice["logprobs"]["token_logprobs"]
        return sum(scores) / len(scores)

    assert [c["text"] for c in best] == [max(every, key=mean)["text"]]


# -- the rest -----------------------------------------------------------------------------------


def test_embeddings_are_unit_vectors_of_their_text_alone(client: openai.OpenAI) -> None:
    """The client asks for base64 by itself; numbers are the same."""
    alone = client.embeddings.create(model="tiny", input="The quick brown fox").data[0].embedding
    many = client.embeddings.create(model="tiny", input=["你好", "The quick brown fox", "fox"])
    numbers = client.embeddings.create(
        model="tiny", input="The quick brown fox", encoding_format="float"
    )
    assert sum(x * x for x in alone) == pytest.approx(1, abs=1e-3)
    assert many.data[1].embedding == pytest.approx(alone, abs=1e-4)
    assert numbers.data[0].embedding == pytest.approx(alone, abs=1e-4)
    assert many.data[0].embedding != pytest.approx(alone, abs=1e-2)
    assert many.usage.prompt_tokens > numbers.usage.prompt_tokens


def test_an_embedding_is_the_mean_of_the_last_hidden_states(
    http: httpx.Client, model: Path
) -> None:
    from transformers import AutoModelForCausalLM

    tokens = [1, 9, 30, 77]
    body = {"input": tokens}
    answer = EmbeddingList.model_validate_json(http.post("/v1/embeddings", json=body).text)
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    with torch.no_grad():
        mean = loaded.model(torch.tensor([tokens])).last_hidden_state[0].mean(0)
    expected = (mean / mean.norm()).tolist()
    assert answer.data[0].embedding == pytest.approx(expected, abs=1e-3)


def test_the_guides_route_answers(http: httpx.Client) -> None:
    body = {"prompt": "The quick", "max_length": 24, "do_sample": False}
    answer = Generated.model_validate_json(http.post("/generate", json=body).text)
    assert answer.usage.total_tokens <= 24
    again = http.post("/generate", json=body).json()
    assert again["text"] == answer.text


def test_a_prompt_that_comes_again_is_known(http: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "word " * 200}], "max_tokens": 2}
    answers = [
        ChatCompletion.model_validate_json(http.post(CHAT, json=body).text) for _ in range(2)
    ]
    cached = [a.usage.prompt_tokens_details.cached_tokens for a in answers]
    assert cached[1] > cached[0]
    assert cached[1] > 100


def test_many_at_once_are_each_answered_their_own(client: openai.OpenAI) -> None:
    def said(number: int) -> str:
        answer = client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": f"Number {number}"}],
            max_tokens=12,
            temperature=0,
            stream=True,
        )
        return "".join(c.choices[0].delta.content or "" for c in answer)

    alone = [said(n) for n in range(6)]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(said, [*range(6), *range(6)]))
    assert together == alone + alone
