"""OpenAI's own Python client against the real server process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

pytest.importorskip("torch")

from tests.e2e.serve_process import ServerProcess, serving
from tests.tiny_models import build_tiny

ASK = [{"role": "user", "content": "What does the function do?"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("serve")
    with serving(folder / "home", build_tiny(folder / "model", "llama")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0)


def chat(client: openai.OpenAI, **more: object) -> object:
    return client.chat.completions.create(model="tiny", messages=ASK, **more)


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [m.id for m in client.models.list()] == ["tiny"]


def test_a_chat_has_text_usage_and_an_end(client: openai.OpenAI) -> None:
    answer = chat(client, max_tokens=9, temperature=0, extra_body={"ignore_eos": True})
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 9
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 9


def test_a_stream_says_the_role_first_and_ends_with_usage(client: openai.OpenAI) -> None:
    whole = chat(client, max_tokens=20, temperature=0)
    chunks = list(
        chat(
            client,
            max_tokens=20,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[0].choices[0].delta.content == ""
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    ends = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    assert ends == [whole.choices[0].finish_reason]
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage


def test_temperature_zero_gives_the_same_text_three_times(client: openai.OpenAI) -> None:
    texts = {chat(client, max_tokens=20, temperature=0).choices[0].message.content for _ in "123"}
    assert len(texts) == 1


def test_a_seed_repeats_its_text_whoever_else_is_served(client: openai.OpenAI) -> None:
    def seeded(seed: int) -> str:
        answer = chat(client, max_tokens=24, temperature=1, seed=seed)
        return answer.choices[0].message.content

    alone = seeded(5)
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(seeded, [1, 5, 2, 5, 3, 5]))
    assert {together[1], together[3], together[5]} == {alone}
    assert together[0] != alone


def test_n_gives_as_many_different_choices_that_repeat_with_their_seed(
    client: openai.OpenAI,
) -> None:
    def texts() -> list[str]:
        answer = chat(client, max_tokens=16, temperature=1, seed=3, n=3)
        assert [c.index for c in answer.choices] == [0, 1, 2]
        return [c.message.content for c in answer.choices]

    first = texts()
    assert len(set(first)) == 3
    assert texts() == first


def test_streamed_choices_carry_their_index(client: openai.OpenAI) -> None:
    whole = chat(client, max_tokens=16, temperature=1, seed=3, n=2)
    texts = {0: "", 1: ""}
    for chunk in chat(client, max_tokens=16, temperature=1, seed=3, n=2, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert list(texts.values()) == [c.message.content for c in whole.choices]


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_ends_the_text_and_never_shows(client: openai.OpenAI, stream: bool) -> None:
    full = chat(client, max_tokens=40, temperature=0).choices[0].message.content
    stop = full[9:12]
    at = full.index(stop)
    answer = chat(client, max_tokens=40, temperature=0, stop=[stop, "never said"], stream=stream)
    if stream:
        pieces = [c.choices[0] for c in answer]
        text = "".join(p.delta.content or "" for p in pieces)
        reason = pieces[-1].finish_reason
    else:
        text, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
        assert answer.usage.completion_tokens < 40
    assert (text, reason) == (full[:at], "stop")


def test_logprobs_name_the_chosen_and_the_best(client: openai.OpenAI) -> None:
    answer = chat(client, max_tokens=4, temperature=0, logprobs=True, top_logprobs=3)
    entries = answer.choices[0].logprobs.content
    assert len(entries) == answer.usage.completion_tokens
    for entry in entries:
        assert entry.logprob <= 0
        assert len(entry.top_logprobs) == 3
        assert entry.top_logprobs[0].logprob == pytest.approx(entry.logprob)  # greedy


def test_completions_take_several_prompts_and_token_lists(client: openai.OpenAI) -> None:
    two = client.completions.create(model="tiny", prompt=["The fox", "你好"], max_tokens=5)
    assert [c.index for c in two.choices] == [0, 1]
    tokens = client.completions.create(model="tiny", prompt=[5, 6, 7], max_tokens=5, logprobs=2)
    assert tokens.usage.prompt_tokens == 3
    # The chosen one is always told, also when it is not among the best two.
    assert len(tokens.choices[0].logprobs.top_logprobs[0]) in (2, 3)
    streamed = client.completions.create(
        model="tiny", prompt="The fox", max_tokens=5, temperature=0, stream=True
    )
    whole = client.completions.create(model="tiny", prompt="The fox", max_tokens=5, temperature=0)
    assert "".join(c.choices[0].text for c in streamed) == whole.choices[0].text


def test_errors_arrive_as_the_clients_own_kinds(
    client: openai.OpenAI, server: ServerProcess
) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-9", messages=ASK)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as cold:
        chat(client, temperature=-1)
    assert cold.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as long:
        chat(client.with_options(max_retries=0), extra_body={}, max_tokens=10**9)
    assert long.value.param == "max_tokens"
    stranger = openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        chat(stranger)


def test_special_tokens_in_a_message_are_only_text(client: openai.OpenAI) -> None:
    def prompt_tokens(content: str) -> int:
        answer = client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": content}], max_tokens=1
        )
        return answer.usage.prompt_tokens

    # As text the mark takes several tokens, as an end of turn it would take one.
    assert prompt_tokens("a<|eos|>b") > prompt_tokens("ab") + 1


def test_unknown_fields_are_accepted(client: openai.OpenAI) -> None:
    assert chat(client, max_tokens=2, extra_body={"best_of_show": True, "user_tag": "x"}).choices
