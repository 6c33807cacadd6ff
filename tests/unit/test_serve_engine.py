"""The batched engine says exactly what `model.generate` says, whoever joins and leaves."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.tiny_models import ARCHITECTURES, VOCABULARY, build_tiny
from tests.unit.serve_engine_helpers import (
    collect,
    collect_all,
    expected_greedy,
    greedy,
    running_engine,
)
from workers.serve.engines.base import EngineError, QueueFull, SamplingParams


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("llama"), "llama")


def ragged_prompts(count: int, longest: int = 40, seed: int = 7) -> list[list[int]]:
    draw = random.Random(seed)
    return [
        [draw.randrange(3, VOCABULARY) for _ in range(draw.randint(1, longest))]
        for _ in range(count)
    ]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_ragged_answers_with_joins_and_leaves_equal_generate(arch: str, tmp_path: Path) -> None:
    model = build_tiny(tmp_path / arch, arch, seed=3)
    prompts = ragged_prompts(9)
    tokens = [5, 31, 12, 3, 24, 17, 1, 9, 20]
    expected = expected_greedy(model, prompts, tokens)

    async def serve() -> list[list[int]]:
        with running_engine(model, max_batch_size=4) as engine:
            tickets = []
            for prompt, n in zip(prompts, tokens, strict=True):
                tickets.append(engine.submit(prompt, greedy(n), None))
                if len(tickets) % 3 == 0:
                    await tickets[-1].next_events_ready()  # the others are under way by now
            return await collect_all(tickets)

    assert asyncio.run(serve()) == expected


def test_a_prompt_longer_than_a_bite_equals_generate_while_others_run(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.serve.engines.batched._PREFILL_TOKENS", {"cpu": 16})
    prompts = [*ragged_prompts(3, 12), ragged_prompts(1, 1)[0] * 150, *ragged_prompts(3, 60, 9)]
    tokens = [40, 7, 22, 30, 12, 5, 33]
    expected = expected_greedy(llama, prompts, tokens)

    async def serve() -> list[list[int]]:
        with running_engine(llama) as engine:
            tickets = [
                engine.submit(p, greedy(n), None) for p, n in zip(prompts, tokens, strict=True)
            ]
            return await collect_all(tickets)

    assert asyncio.run(serve()) == expected


def test_a_seed_gives_the_same_tokens_alone_and_in_company(llama: Path) -> None:
    params = SamplingParams(max_new_tokens=30, temperature=0.9, seed="17", ignore_eos=True)
    nucleus = SamplingParams(
        max_new_tokens=30, temperature=0.9, top_p=0.8, top_k=50, seed="17", ignore_eos=True
    )
    prompt, *others = ragged_prompts(6)

    async def alone(p: SamplingParams) -> list[int]:
        with running_engine(llama) as engine:
            return (await collect_all([engine.submit(prompt, p, None)]))[0]

    async def in_company(p: SamplingParams) -> list[int]:
        with running_engine(llama) as engine:
            company = [
                engine.submit(o, SamplingParams(max_new_tokens=50, top_p=0.9), None) for o in others
            ]
            mine = engine.submit(prompt, p, None)
            found = await collect_all([mine, *company])
            return found[0]

    for p in (params, nucleus):
        assert asyncio.run(alone(p)) == asyncio.run(in_company(p))


def test_a_cancelled_answer_frees_its_slot_and_leaves_the_others_exact(llama: Path) -> None:
    prompts = ragged_prompts(3)
    expected = expected_greedy(llama, [prompts[0], prompts[2]], [60, 60])

    async def serve() -> list[list[int]]:
        with running_engine(llama) as engine:
            tickets = [engine.submit(p, greedy(60), None) for p in prompts]
            await tickets[1].next_events()
            engine.cancel(tickets[1])
            steps = engine.stats().steps
            while engine.stats().running == 3:
                await asyncio.sleep(0.001)
                assert engine.stats().steps <= steps + 2
            return await collect_all([tickets[0], tickets[2]])

    assert asyncio.run(serve()) == expected


def test_a_full_queue_refuses_and_says_its_limit(llama: Path) -> None:
    async def serve() -> None:
        with running_engine(llama, max_batch_size=1, queue_limit=1) as engine:
            tickets = [engine.submit([5, 6], greedy(50), None) for _ in range(2)]
            with pytest.raises(QueueFull) as refused:
                tickets += [engine.submit([5, 6], greedy(50), None) for _ in range(3)]
            assert refused.value.limit == 1
            await collect_all(tickets)

    asyncio.run(serve())


def test_ending_all_tells_every_waiting_client(llama: Path) -> None:
    async def serve() -> None:
        with running_engine(llama, max_batch_size=2) as engine:
            tickets = [engine.submit([5, 6, 7], greedy(200), None) for _ in range(5)]
            await tickets[0].next_events()
            engine.end_all("stopping")
            for ticket in tickets:
                with pytest.raises(EngineError, match="stopping"):
                    await collect(ticket)
            with pytest.raises(EngineError):
                engine.submit([5], greedy(1), None)

    asyncio.run(serve())


def test_a_step_that_fails_ends_its_answers_and_the_next_ones_are_served(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.serve.engines import batched

    prompt = ragged_prompts(1)[0]
    expected = expected_greedy(llama, [prompt], [8])
    real = batched.choose
    failures = iter([True])

    def choose_but_fail_once(*args: object) -> object:
        if next(failures, False):
            raise RuntimeError("broken step")
        return real(*args)

    monkeypatch.setattr(batched, "choose", choose_but_fail_once)

    async def serve() -> list[list[int]]:
        with running_engine(llama) as engine:
            doomed = [engine.submit(prompt, greedy(8), None) for _ in range(2)]
            for ticket in doomed:
                with pytest.raises(EngineError, match="broken step"):
                    await collect(ticket)
            return await collect_all([engine.submit(prompt, greedy(8), None)])

    assert asyncio.run(serve()) == expected


def test_an_engine_that_fails_three_times_in_a_row_says_that_it_is_dead(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> object:
        raise RuntimeError("no memory left")

    monkeypatch.setattr("workers.serve.engines.batched.choose", never)

    async def serve() -> None:
        with running_engine(llama) as engine:
            for _ in range(3):
                assert engine.stats().failed == ""
                with pytest.raises(EngineError):
                    await collect(engine.submit([5, 6], greedy(4), None))
            assert "no memory left" in engine.stats().failed
            with pytest.raises(EngineError):
                engine.submit([5, 6], greedy(4), None)

    asyncio.run(serve())


def test_answers_end_at_an_end_token_or_where_the_context_ends(llama: Path) -> None:
    prompt = ragged_prompts(1)[0]
    stop = expected_greedy(llama, [prompt], [1])[0][0]

    async def serve() -> None:
        with running_engine(llama) as engine:
            params = greedy(50, stop_token_ids=frozenset({stop}))
            (only,) = await collect(engine.submit(prompt, params, None))
            assert (only.token, only.finish, only.is_stop_token) == (stop, "stop", True)
            long = await collect(engine.submit([9] * 250, greedy(50), None))
            assert len(long) == engine.facts.max_context_tokens - 250
            assert long[-1].finish == "length"

    asyncio.run(serve())


@pytest.mark.parametrize("merged", [False, True])
def test_adapter_and_base_answer_side_by_side(llama: Path, tmp_path: Path, merged: bool) -> None:
    adapter = make_adapter(llama, tmp_path / "adapter")
    prompts = ragged_prompts(4)
    base = expected_greedy(llama, prompts, [15] * 4)
    tuned = expected_greedy(llama, prompts, [15] * 4, adapter)
    assert base != tuned

    async def serve() -> None:
        with running_engine(llama, adapter=str(adapter), merge_adapter=merged) as engine:
            names = engine.facts.adapters
            tickets = {
                name: [engine.submit(p, greedy(15), name) for p in prompts] for name in names
            }
            assert await collect_all(tickets["adapter"]) == tuned
            assert (None in names) is not merged
            if not merged:
                assert await collect_all(tickets[None]) == base

    asyncio.run(serve())


def make_adapter(model: Path, folder: Path) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(model)
    tuned = get_peft_model(
        base, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    )
    torch.manual_seed(1)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    tuned.save_pretrained(folder)
    return folder
