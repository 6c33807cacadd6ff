"""The batched engine on a card: the same tokens as `generate`, memory within its share."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from tests.tiny_models import ARCHITECTURES, VOCABULARY, build_tiny
from tests.unit.serve_engine_helpers import (
    collect_all,
    expected_greedy,
    greedy,
    running_engine,
)
from workers.serve.engines import memory
from workers.serve.engines.base import SamplingParams

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card"),
]


def prompts(count: int) -> list[list[int]]:
    draw = random.Random(11)
    return [
        [draw.randrange(3, VOCABULARY) for _ in range(draw.randint(1, 60))] for _ in range(count)
    ]


def serve(model: Path, asked: list[tuple[list[int], SamplingParams]], **spec: object) -> list:
    async def run() -> list[list[int]]:
        with running_engine(model, **{"device": "cuda", **spec}) as engine:
            return await collect_all([engine.submit(p, s, None) for p, s in asked])

    return asyncio.run(run())


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_greedy_answers_on_the_card_equal_generate(arch: str, tmp_path: Path) -> None:
    model = build_tiny(tmp_path / arch, arch, seed=3)
    ragged = prompts(24)
    tokens = [5 + i for i in range(24)]
    expected = expected_greedy(model, ragged, tokens)
    asked = [(p, greedy(n)) for p, n in zip(ragged, tokens, strict=True)]
    assert serve(model, asked, precision="fp32", max_batch_size=7) == expected


def test_seeds_repeat_on_the_card(tmp_path: Path) -> None:
    model = build_tiny(tmp_path / "llama", "llama")
    params = SamplingParams(
        max_new_tokens=40, temperature=0.9, top_p=0.9, seed="4", ignore_eos=True
    )
    mine = prompts(1)[0]
    alone = serve(model, [(mine, params)], precision="fp32")[0]
    company = [(p, SamplingParams(max_new_tokens=60)) for p in prompts(12)]
    assert serve(model, [(mine, params), *company], precision="fp32")[0] == alone


def test_a_card_that_has_bf16_serves_in_it_and_in_its_share_of_memory(tmp_path: Path) -> None:
    model = build_tiny(tmp_path / "llama", "llama", dtype="bfloat16")
    with running_engine(model, device="auto") as engine:
        wanted = "bf16" if torch.cuda.get_device_capability()[0] >= 8 else "fp16"
        facts = engine.facts
        assert (facts.device, facts.dtype, facts.precision) == ("cuda:0", wanted, wanted)
        _, total = torch.cuda.mem_get_info()
        assert facts.memory_budget_gib <= 0.85 * total / 1024**3
        assert facts.cache_tokens > 0


@pytest.mark.parametrize("precision", ["8bit", "4bit"])
def test_quantized_models_answer_on_the_card(tmp_path: Path, precision: str) -> None:
    pytest.importorskip("bitsandbytes")
    model = build_tiny(tmp_path / "llama", "llama", hidden_size=64, intermediate_size=128)
    asked = [(p, greedy(12)) for p in prompts(6)]
    answers = serve(model, asked, precision=precision)
    assert [len(a) for a in answers] == [12] * 6
    assert answers == serve(model, asked, precision=precision)


def test_what_the_card_cannot_hold_goes_to_main_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The card is made to look nearly full while weights are placed."""
    pytest.importorskip("accelerate")
    model = build_tiny(tmp_path / "llama", "llama", num_hidden_layers=6, hidden_size=256)
    ragged = prompts(4)
    expected = expected_greedy(model, ragged, [10] * 4)
    real, calls = memory.budget_gib, iter([0.004])
    monkeypatch.setattr(memory, "budget_gib", lambda *a: next(calls, None) or real(*a))
    asked = [(p, greedy(10)) for p in ragged]
    assert serve(model, asked, precision="fp32", cpu_offload=True) == expected
