"""The native engine says exactly what `generate` says, whoever joins, leaves or is put back."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from tests.tiny_models import ARCHITECTURES, build_tiny
from tests.unit.native_core_helpers import desk, ragged_prompts
from tests.unit.serve_engine_helpers import expected_greedy, greedy
from workers.serve.engines.base import SamplingParams
from workers.serve.native.models import suits

SERVED = [arch for arch in ARCHITECTURES if suits({"model_type": arch})]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("llama"), "llama")


@pytest.mark.parametrize("arch", SERVED)
def test_ragged_answers_with_joins_and_leaves_equal_generate(arch: str, tmp_path: Path) -> None:
    model = build_tiny(tmp_path / arch, arch, seed=3)
    prompts = ragged_prompts(9)
    counts = [5, 31, 12, 3, 24, 17, 1, 9, 20]
    expected = expected_greedy(model, prompts, counts)
    with desk(model, max_batch_size=4) as one:
        numbers = []
        for prompt, count in zip(prompts, counts, strict=True):
            numbers.append(one.ask(prompt, greedy(count)))
            one.step()
        assert one.answers(numbers) == expected
        again = [one.ask(p, greedy(c)) for p, c in zip(prompts, counts, strict=True)]
        assert one.answers(again) == expected, "with their beginnings known"
        assert one.core.stats().prefix_hit_tokens > 0
        assert one.core.stats().cache_tokens == 0
