"""The batched engine says exactly what `model.generate` says, whoever joins and leaves."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

pytest.importorskip("torch")

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from tests.tiny_models import ARCHITECTURES, VOCABULARY, build_tiny
from tests.unit.serve_engine_helpers import (
    collect,
    collect_all,
    expected_greedy,
    greedy,
    running_engine,
)
from workers.serve.engines.base import (
    AdapterChange,
    EngineError,
    QueueFull,
    Request,
    SamplingParams,
    TokenEvent,
)
from workers.serve.engines.transformers_core import TransformersCore


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
    core = TransformersCore()
    core.load(ServeSpec(model=str(llama), device="cpu"), lambda *_: None)
    written: dict[int, list[int]] = {n: [] for n in range(3)}

    def step() -> None:
        for number, item in core.step():
            assert isinstance(item, TokenEvent)
            if item.token >= 0:
                written[number].append(item.token)

    for number, prompt in enumerate(prompts):
        core.add(Request(number, prompt, greedy(60)))
    while not written[1]:
        step()
    core.cancel([1])
    step()
    step()
    assert core.stats().running == 2
    while core.busy:
        step()
    core.unload()
    expected = expected_greedy(llama, [prompts[0], prompts[2]], [60, 60])
    assert [written[0], written[2]] == expected


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
            doomed = engine.submit(prompt, greedy(8), None)
            with pytest.raises(EngineError, match="broken step"):
                await collect(doomed)
            return await collect_all([engine.submit(prompt, greedy(8), None)])

    assert asyncio.run(serve()) == expected


@pytest.mark.parametrize(("error", "lives"), [("no memory left", 3), ("CUDA error: gone", 1)])
def test_an_engine_that_fails_three_times_in_a_row_or_loses_its_card_is_dead(
    llama: Path, monkeypatch: pytest.MonkeyPatch, error: str, lives: int
) -> None:
    def never(*_: object) -> object:
        raise RuntimeError(error)

    monkeypatch.setattr("workers.serve.engines.batched.choose", never)

    async def serve() -> None:
        with running_engine(llama) as engine:
            for _ in range(lives):
                assert engine.stats().failed == ""
                with pytest.raises(EngineError):
                    await collect(engine.submit([5, 6], greedy(4), None))
            assert error in engine.stats().failed
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
    adapter = make_adapter(llama, tmp_path / "legal")
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
            assert await collect_all(tickets["legal"]) == tuned
            assert (None in names) is not merged
            if not merged:
                assert await collect_all(tickets[None]) == base

    asyncio.run(serve())


def test_adapters_are_swapped_while_others_run(llama: Path, tmp_path: Path) -> None:
    one, two = (make_adapter(llama, tmp_path / name, seed=i) for i, name in enumerate("ab"))
    prompt = ragged_prompts(1)[0]
    base, first, second = (
        expected_greedy(llama, [prompt], [40], adapter)[0] for adapter in (None, one, two)
    )
    assert len({tuple(t) for t in (base, first, second)}) == 3

    async def serve() -> None:
        with running_engine(llama, adapter=str(one)) as engine:
            running = [engine.submit(prompt, greedy(40), name) for name in (None, "a")]
            await running[0].next_events_ready()
            facts = await engine.change_adapters(AdapterChange(load=(("b", str(two)),)))
            assert facts.adapters == (None, "a", "b")
            running.append(engine.submit(prompt, greedy(40), "b"))
            assert await collect_all(running) == [base, first, second]
            facts = await engine.change_adapters(AdapterChange(unload=("a",)))
            assert facts.adapters == (None, "b")
            again = [engine.submit(prompt, greedy(40), name) for name in ("b", None)]
            assert await collect_all(again) == [second, base]
            facts = await engine.change_adapters(AdapterChange(unload=("b",)))
            assert facts.adapters == (None,)
            assert await collect_all([engine.submit(prompt, greedy(40), None)]) == [base]

    asyncio.run(serve())


def test_an_adapter_that_does_not_fit_changes_nothing(llama: Path, tmp_path: Path) -> None:
    wide = build_tiny(tmp_path / "wide", "llama", hidden_size=64)
    wrong = make_adapter(wide, tmp_path / "wrong")
    right = make_adapter(llama, tmp_path / "right")
    prompt = ragged_prompts(1)[0]
    base, tuned = (expected_greedy(llama, [prompt], [20], a)[0] for a in (None, right))

    async def serve() -> None:
        with running_engine(llama) as engine:
            for _ in range(2):
                with pytest.raises(AppError) as refused:
                    await engine.change_adapters(AdapterChange(load=(("w", str(wrong)),)))
                assert refused.value.code is ErrorCode.ADAPTER_MISMATCH
            assert await collect_all([engine.submit(prompt, greedy(20), None)]) == [base]
            await engine.change_adapters(AdapterChange(load=(("r", str(right)),)))
            with pytest.raises(AppError):
                await engine.change_adapters(AdapterChange(load=(("w", str(wrong)),)))
            both = [engine.submit(prompt, greedy(20), name) for name in ("r", None)]
            assert await collect_all(both) == [tuned, base]

    asyncio.run(serve())


@pytest.mark.parametrize("arch", ["bloom", "opt", "gpt2", "mamba"])
def test_architectures_that_take_no_ragged_rows_answer_like_generate_all_the_same(
    arch: str, tmp_path: Path
) -> None:
    model = build_unusual(tmp_path / arch, arch)
    prompts, tokens = ragged_prompts(4, 12), [9, 4, 12, 7]
    expected = expected_greedy(model, prompts, tokens)

    async def serve() -> list[list[int]]:
        with running_engine(model) as engine:
            tickets = [
                engine.submit(p, greedy(n), None) for p, n in zip(prompts, tokens, strict=True)
            ]
            left = engine.submit(prompts[0], greedy(100), None)
            engine.cancel(left)
            return await collect_all(tickets)

    assert asyncio.run(serve()) == expected


def build_unusual(folder: Path, arch: str) -> Path:
    """A tiny model of an architecture that nobody here has thought of."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes: dict[str, dict[str, int]] = {
        "bloom": {"n_layer": 2, "n_head": 4},
        "opt": {
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_dim": 64,
            "word_embed_proj_dim": 32,
            "max_position_embeddings": 256,
        },
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
        "mamba": {"num_hidden_layers": 2, "state_size": 8},
    }
    config = AutoConfig.for_model(
        arch, vocab_size=VOCABULARY, hidden_size=32, **sizes[arch], bos_token_id=1, eos_token_id=2
    )
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:  # the library's own start leaves all logits nearly equal
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    return folder


def make_adapter(model: Path, folder: Path, seed: int = 1, **more: object) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(model)
    tuned = get_peft_model(
        base, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", **more)
    )
    torch.manual_seed(seed)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    tuned.save_pretrained(folder)
    return folder
