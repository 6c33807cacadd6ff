"""The batched engine on a card: the same tokens as `generate`, memory within its share."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from core.config.serve import ServeSpec
from tests.tiny_models import ARCHITECTURES, VOCABULARY, build_tiny
from tests.unit.serve_engine_helpers import collect_all, expected_greedy, greedy
from workers.serve.engines import memory
from workers.serve.engines.base import SamplingParams
from workers.serve.engines.batched import BatchedEngine

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
        engine = BatchedEngine(ServeSpec(model=str(model), device="cuda", **spec))
        engine.load(lambda *_: None)
        try:
            return await collect_all([engine.submit(p, s, None) for p, s in asked])
        finally:
            engine.unload()

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
    engine = BatchedEngine(ServeSpec(model=str(model)))
    facts = engine.load(lambda *_: None)
    try:
        wanted = "bf16" if torch.cuda.get_device_capability()[0] >= 8 else "fp16"
        assert (facts.device, facts.dtype) == ("cuda:0", wanted)
        _, total = torch.cuda.mem_get_info()
        token_bytes = engine._warm_up()
        budget = memory.cache_budget_tokens(torch.device("cuda:0"), token_bytes) * token_bytes
        assert budget <= memory.MEMORY_SHARE * total
    finally:
        engine.unload()
