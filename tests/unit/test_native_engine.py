"""The native engine says exactly what `generate` says, whoever joins, leaves or is put back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from tests.tiny_models import ARCHITECTURES, CONTEXT_TOKENS, VOCABULARY, build_tiny
from tests.unit.native_core_helpers import Desk, desk, ragged_prompts
from tests.unit.serve_engine_helpers import expected_greedy, greedy
from workers.serve.engines.base import NO_TOKEN, SamplingParams
from workers.serve.native import memory
from workers.serve.native.models import suits

SERVED = [arch for arch in ARCHITECTURES if suits({"model_type": arch})]
COUNTS = [5, 31, 12, 3, 24, 17, 1, 9, 20]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture
def small_pool(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def set_pages(pages: int) -> None:
        monkeypatch.setattr(memory, "pages_that_fit", lambda *_, **__: pages)

    return set_pages


def one_ahead(one: Desk) -> None:
    """Let a core on the processor work as on a card: launch a pass before reading the last one."""
    one.core._loop._one_ahead = True


def join_one_by_one(one: Desk, prompts: list[list[int]], counts: list[int]) -> list[int]:
    numbers = []
    for prompt, count in zip(prompts, counts, strict=True):
        numbers.append(one.ask(prompt, greedy(count)))
        one.step()
    return numbers


@pytest.mark.parametrize("arch", SERVED)
def test_ragged_answers_with_joins_and_leaves_equal_generate(arch: str, tmp_path: Path) -> None:
    model = build_tiny(tmp_path / arch, arch, seed=3)
    prompts = ragged_prompts(9)
    expected = expected_greedy(model, prompts, COUNTS)
    with desk(model, max_batch_size=4) as one:
        assert one.answers(join_one_by_one(one, prompts, COUNTS)) == expected
        again = [one.ask(p, greedy(c)) for p, c in zip(prompts, COUNTS, strict=True)]
        assert one.answers(again) == expected, "with their beginnings known"
        assert one.core.stats().prefix_hit_tokens > 0
        assert one.core.stats().cache_tokens == 0
        one_ahead(one)
        assert one.answers(join_one_by_one(one, prompts, COUNTS)) == expected, "one pass ahead"


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("arch", SERVED)
def test_answers_survive_being_put_back_by_a_dry_pool(
    arch: str, ahead: bool, tmp_path: Path, small_pool: Callable[[int], None]
) -> None:
    model = build_tiny(tmp_path / arch, arch, seed=3)
    prompts, counts = ragged_prompts(6, 20), [40, 30, 50, 20, 45, 35]
    expected = expected_greedy(model, prompts, counts)
    small_pool(9)
    with desk(model, max_batch_size=4, prefix_cache=False, max_context_tokens=100) as one:
        one.core._loop.scheduler._answer_tokens = 1.0  # nobody expects long answers
        if ahead:
            one_ahead(one)
        numbers = [one.ask(p, greedy(c)) for p, c in zip(prompts, counts, strict=True)]
        assert one.answers(numbers) == expected
        assert one.core.stats().preemptions > 0
        assert one.core.stats().cache_tokens == 0


def test_tiny_bites_change_nothing(llama: Path) -> None:
    prompts = [*ragged_prompts(3, 12), ragged_prompts(1, 1)[0] * 150, *ragged_prompts(3, 60, 9)]
    counts = [40, 7, 22, 30, 12, 5, 33]
    expected = expected_greedy(llama, prompts, counts)
    with desk(llama, prefill_tokens=5) as one:
        numbers = [one.ask(p, greedy(c)) for p, c in zip(prompts, counts, strict=True)]
        assert one.answers(numbers) == expected


def test_equal_prompts_share_what_was_read_and_keys_never_do(llama: Path) -> None:
    prompt = ragged_prompts(1)[0] * 3
    with desk(llama) as one:
        first = [one.ask(prompt, greedy(4), key="one") for _ in range(3)]
        other = one.ask(prompt, greedy(4), key="two")
        one.run()
        known = (len(prompt) - 1) // 16 * 16
        assert [one.events[n][0].cached_tokens for n in first] == [0, known, known]
        assert one.events[other][0].cached_tokens == 0
        assert len({tuple(one.tokens(n)) for n in [*first, other]}) == 1


@pytest.mark.parametrize("ahead", [False, True])
def test_a_seed_gives_the_same_tokens_alone_in_company_and_one_ahead(
    llama: Path, ahead: bool
) -> None:
    params = SamplingParams(30, 0.9, top_p=0.8, top_k=50, seed="17", ignore_eos=True)
    prompt, *others = ragged_prompts(6)
    with desk(llama) as one:
        (alone,) = one.answers([one.ask(prompt, params)])
        if ahead:
            one_ahead(one)
        company = [one.ask(p, SamplingParams(50, top_p=0.9)) for p in others]
        mine = one.ask(prompt, params)
        assert one.answers([mine, *company])[0] == alone


@pytest.mark.parametrize("ahead", [False, True])
def test_an_answer_ends_with_its_stop_token_and_nothing_comes_behind(
    llama: Path, ahead: bool
) -> None:
    prompt = ragged_prompts(1)[0]
    said = expected_greedy(llama, [prompt], [12])[0]
    stop = said[7]
    with desk(llama) as one:
        if ahead:
            one_ahead(one)
        number = one.ask(prompt, greedy(50, stop_token_ids=frozenset({stop})))
        one.run()
        last = one.events[number][-1]
        assert one.tokens(number) == said[: said.index(stop) + 1]
        assert (last.finish, last.is_stop_token) == ("stop", True)
        assert one.core.stats().running == 0


def test_an_answer_ends_where_the_context_ends(llama: Path) -> None:
    with desk(llama) as one:
        number = one.ask([9] * 250, greedy(50))
        one.run()
        assert len(one.tokens(number)) == CONTEXT_TOKENS - 250
        assert one.events[number][-1].finish == "length"


@pytest.mark.parametrize("ahead", [False, True])
def test_a_cancelled_answer_is_gone_at_once_and_the_others_stay_exact(
    llama: Path, ahead: bool
) -> None:
    prompts = ragged_prompts(3)
    expected = expected_greedy(llama, [prompts[0], prompts[2]], [60, 60])
    with desk(llama) as one:
        if ahead:
            one_ahead(one)
        numbers = [one.ask(p, greedy(60)) for p in prompts]
        for _ in range(5):
            one.step()
        one.core.cancel([numbers[1], 999])
        heard = len(one.events[numbers[1]])
        assert one.core.stats().running == 2
        assert one.answers([numbers[0], numbers[2]]) == expected
        assert len(one.events[numbers[1]]) == heard
        late = one.ask(prompts[0], greedy(60))  # in the slot that became free
        assert one.answers([late]) == expected[:1]


HOSTILE = {
    "empty": ([], {}),
    "unknown token": ([5, VOCABULARY + 500], {}),
    "negative token": ([-1], {}),
    "too long": ([5] * CONTEXT_TOKENS, {}),
    "temperature below zero": ([5], {"temperature": -1.0}),
    "temperature is no number": ([5], {"temperature": float("nan")}),
    "bias of an unknown token": ([5], {"logit_bias": ((10**9, 1.0),)}),
    "no penalty": ([5], {"repetition_penalty": 0.0}),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_request_gets_an_error_and_a_bystander_gets_its_answer(
    llama: Path, kind: str
) -> None:
    prompt = ragged_prompts(1)[0]
    expected = expected_greedy(llama, [prompt], [10])
    ids, changes = HOSTILE[kind]
    with desk(llama) as one:
        bystander = one.ask(prompt, greedy(10))
        one.step()
        bad = one.ask(ids, SamplingParams(max_new_tokens=3, **changes))
        one.step()
        assert one.errors[bad]
        assert one.answers([bystander]) == expected


def test_an_unknown_adapter_and_a_number_used_twice_are_refused(llama: Path) -> None:
    with desk(llama) as one:
        assert one.ask([5], greedy(3), adapter="nobody") == 0
        one.run()
        assert "nobody" in one.errors[0]
        number = one.ask([5], greedy(3))
        one.core.add(one.request(number, [6], greedy(3)))
        one.step()
        assert "already" in one.errors[number]


def test_a_failing_step_costs_who_had_begun_and_nobody_else(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = ragged_prompts(3)
    expected = expected_greedy(llama, prompts, [8] * 3)
    with desk(llama, max_batch_size=2) as one:
        begun = [one.ask(p, greedy(8)) for p in prompts[:2]]
        waits = one.ask(prompts[2], greedy(8))
        one.step()
        break_sampler(one, monkeypatch, times=1)
        one.step()
        assert all("broken" in one.errors[n] for n in begun)
        again = [one.ask(p, greedy(8)) for p in prompts[:2]]
        assert one.answers([*again, waits]) == expected
        assert one.core.stats().cache_tokens == 0


def test_three_failures_in_a_row_are_the_callers_problem(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with desk(llama) as one:
        break_sampler(one, monkeypatch, times=99)
        for _ in range(2):
            one.ask([5, 6], greedy(4))
            one.step()
        one.ask([5, 6], greedy(4))
        with pytest.raises(RuntimeError, match="broken"):
            one.step()


def break_sampler(one: Desk, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    sampler = one.core._machine.sampler
    real, left = sampler.sample, iter(range(times))

    def sample(*args: object, **more: object) -> object:
        if next(left, None) is not None:
            raise RuntimeError("broken step")
        return real(*args, **more)

    monkeypatch.setattr(sampler, "sample", sample)


@pytest.mark.parametrize("budget", [7, 256])
def test_scores_of_the_prompt_and_of_the_answer_are_the_models_own(
    llama: Path, budget: int
) -> None:
    prompt = ragged_prompts(1)[0] * 2
    with desk(llama, prefill_tokens=budget) as one:
        scored = one.ask(prompt, greedy(3, prompt_logprobs=2, logprobs=1))
        silent = one.ask(prompt, greedy(0, prompt_logprobs=0))
        one.run()
    (nothing,) = one.events[silent]
    assert (nothing.token, nothing.finish) == (NO_TOKEN, "length")
    first = one.events[scored][0]
    expected = reference_logprobs(llama, prompt + one.tokens(scored))
    for event in (first, nothing):
        assert event.prompt_logprobs is not None
        assert event.prompt_logprobs[0] is None
        found = [entry.chosen for entry in event.prompt_logprobs[1:] if entry]
        wanted = [expected[i, token].item() for i, token in enumerate(prompt[1:])]
        assert found == pytest.approx(wanted, abs=1e-4)
    entry = first.prompt_logprobs[5] if first.prompt_logprobs else None
    assert entry is not None
    assert [token for token, _ in entry.top] == expected[4].topk(2).indices.tolist()
    chosen = [event.logprob.chosen for event in one.events[scored] if event.logprob]
    ends = expected[len(prompt) - 1 :]
    assert chosen == pytest.approx(
        [ends[i, t].item() for i, t in enumerate(one.tokens(scored))], abs=1e-4
    )


def reference_logprobs(model: Path, tokens: list[int]) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    with torch.no_grad():
        return reference(torch.tensor([tokens])).logits[0].log_softmax(-1)


@pytest.mark.parametrize("budget", [7, 256])
def test_an_embedding_is_the_mean_of_the_last_hidden_states(llama: Path, budget: int) -> None:
    from transformers import AutoModel

    prompts = ragged_prompts(3)
    params = SamplingParams(max_new_tokens=1, embed=True)
    with desk(llama, prefill_tokens=budget) as one:
        writing = one.ask(prompts[0], greedy(20))
        numbers = [one.ask(prompt, params) for prompt in prompts]
        one.run()
        assert len(one.tokens(writing)) == 20
    reference = AutoModel.from_pretrained(llama, dtype=torch.float32)
    for number, prompt in zip(numbers, prompts, strict=True):
        (event,) = one.events[number]
        with torch.no_grad():
            mean = reference(torch.tensor([prompt])).last_hidden_state[0].mean(0)
        wanted = mean / mean.norm()
        assert event.finish == "stop"
        assert event.embedding == pytest.approx(wanted.tolist(), abs=1e-5)


@pytest.mark.parametrize("ahead", [False, True])
def test_an_answer_obeys_its_grammar_beside_others_that_are_free(llama: Path, ahead: bool) -> None:
    pytest.importorskip("llguidance")
    from transformers import AutoTokenizer

    schema = json.dumps(
        {
            "type": "object",
            "properties": {"a": {"enum": [1, 2]}},
            "required": ["a"],
            "additionalProperties": False,
        }
    )
    prompts = ragged_prompts(3)
    expected = expected_greedy(llama, prompts[1:], [30, 30])
    with desk(llama) as one:
        if ahead:
            one_ahead(one)
        bound = one.ask(prompts[0], SamplingParams(60, 0.0, grammar=schema))
        wrong = one.ask(prompts[0], SamplingParams(60, 0.0, grammar="{"))
        free = [one.ask(p, greedy(30)) for p in prompts[1:]]
        assert one.answers(free) == expected
        assert one.errors[wrong]
        text = AutoTokenizer.from_pretrained(llama).decode(
            one.tokens(bound), skip_special_tokens=True
        )
        assert json.loads(text)["a"] in (1, 2)
        assert one.events[bound][-1].finish == "stop"


def test_each_request_is_told_when_its_turn_comes(llama: Path) -> None:
    with desk(llama, max_batch_size=1) as one:
        numbers = [one.ask([5, 6], greedy(3)) for _ in range(2)]
        one.step()
        assert one.started == numbers[:1]
        one.run()
        assert one.started == numbers
        waited = [one.events[n][0].queue_ms for n in numbers]
        assert waited[0] is not None
        assert waited[1] is not None
        assert 0 <= waited[0] < waited[1]
