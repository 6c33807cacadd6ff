"""DeepSeek-V2 and V3 through the whole native engine: bites, adapters, other precisions, memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from core.catalog.inspection import inspect_model
from core.config.serve import ServeSpec
from core.planning import shape_of
from core.planning.serve_memory import ServePrecision, cache_bytes_a_token
from tests.tiny_models import build_tiny
from tests.unit.native_core_helpers import desk, ragged_prompts
from tests.unit.serve_engine_helpers import expected_greedy, greedy
from workers.serve.engines.base import AdapterChange, SamplingParams
from workers.serve.engines.choice import choice_for

ATTENTION = ["q_a_proj", "q_b_proj", "q_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]
PROMPTS = ragged_prompts(4)
COUNTS = [15] * 4


@pytest.fixture(scope="module", params=["deepseek_v2", "deepseek_v3"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp(request.param), request.param, seed=3)


def make_adapter(model: Path, folder: Path, seed: int) -> Path:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(model)
    has = {name.rpartition(".")[2] for name, _ in base.named_modules()}
    targets = [name for name in ATTENTION if name in has]
    tuned = peft.get_peft_model(
        base, peft.LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM")
    )
    torch.manual_seed(seed)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    tuned.save_pretrained(folder)
    return folder


def test_tiny_bites_change_nothing(model: Path) -> None:
    prompts = [*ragged_prompts(3, 12), ragged_prompts(1, 1)[0] * 150, *ragged_prompts(3, 60, 9)]
    counts = [40, 7, 22, 30, 12, 5, 33]
    expected = expected_greedy(model, prompts, counts)
    with desk(model, prefill_tokens=5, max_batch_size=4) as one:
        numbers = [one.ask(p, greedy(c)) for p, c in zip(prompts, counts, strict=True)]
        assert one.answers(numbers) == expected
        again = [one.ask(p, greedy(c)) for p, c in zip(prompts, counts, strict=True)]
        assert one.answers(again) == expected, "with their beginnings known"
        assert one.core.stats().prefix_hit_tokens > 0


def test_adapters_share_passes_with_the_base_are_swapped_and_taken_off(
    model: Path, tmp_path: Path
) -> None:
    first, second = (make_adapter(model, tmp_path / n, i) for i, n in enumerate(("one", "two")))
    base = expected_greedy(model, PROMPTS, COUNTS)
    before = expected_greedy(model, PROMPTS, COUNTS, first)
    after = expected_greedy(model, PROMPTS, COUNTS, second)
    assert len({str(tokens) for tokens in (base, before, after)}) == 3
    with desk(model, adapter=str(first)) as one:
        for _ in range(2):  # the second time with all beginnings known
            plain = [one.ask(prompt, greedy(15)) for prompt in PROMPTS]
            tuned = [one.ask(prompt, greedy(15), "one") for prompt in PROMPTS]
            assert (one.answers(plain), one.answers(tuned)) == (base, before)
        assert one.core.stats().prefix_hit_tokens > 0
        writing = [one.ask(prompt, greedy(15)) for prompt in PROMPTS]
        one.step()
        one.core.change_adapters(AdapterChange((("one", str(second)),), ("one",)))
        swapped = [one.ask(prompt, greedy(15), "one") for prompt in PROMPTS]
        assert (one.answers(swapped), one.answers(writing)) == (after, base)
        assert one.core.change_adapters(AdapterChange(unload=("one",))).adapters == (None,)
        assert one.answers([one.ask(prompt, greedy(15)) for prompt in PROMPTS]) == base


def test_a_merged_adapter_is_in_the_absorbed_matrices_too(model: Path, tmp_path: Path) -> None:
    folder = make_adapter(model, tmp_path / "tuned", 5)
    expected = expected_greedy(model, PROMPTS, COUNTS, folder)
    with desk(model, adapter=str(folder), merge_adapter=True) as one:
        assert one.answers([one.ask(p, greedy(15), "tuned") for p in PROMPTS]) == expected


def test_scores_and_embeddings_are_the_models_own(model: Path) -> None:
    from transformers import AutoModelForCausalLM

    prompt = PROMPTS[0] * 2
    with desk(model, prefill_tokens=7) as one:
        scored = one.ask(prompt, greedy(0, prompt_logprobs=0))
        embedded = one.ask(prompt, SamplingParams(max_new_tokens=1, embed=True))
        one.run()
        (scores,), (vector,) = one.events[scored], one.events[embedded]
    reference = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    with torch.no_grad():
        out = reference(torch.tensor([prompt]), output_hidden_states=True)
    own = out.logits[0].log_softmax(-1)
    wanted = [own[i, token].item() for i, token in enumerate(prompt[1:])]
    assert scores.prompt_logprobs is not None
    found = [entry.chosen for entry in scores.prompt_logprobs[1:] if entry]
    assert found == pytest.approx(wanted, abs=1e-4)
    mean = out.hidden_states[-1][0].mean(0)
    assert vector.embedding == pytest.approx((mean / mean.norm()).tolist(), abs=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_pool_takes_what_was_forecast(model: Path, precision: ServePrecision) -> None:
    shape = shape_of(json.loads((model / "config.json").read_text()))
    assert shape is not None
    with desk(model, precision=precision) as one:
        pool = one.core._machine.pool
        assert pool.layout.token_bytes == cache_bytes_a_token(shape, precision)
        held = sum(tensor.nbytes for tensor in (*pool.keys, *pool.values, *pool.latents))
        assert held == pool.pages * pool.page_size * pool.layout.token_bytes
        number = one.ask(PROMPTS[0], greedy(10))
        one.run()
        assert len(one.tokens(number)) == 10


@pytest.mark.parametrize("bits", [4, 8])
def test_few_bits_are_served(bits: int, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "kv_lora_rank": 64}
    folder = build_tiny(tmp_path / "m", "deepseek_v2", v_head_dim=16, **sizes)
    with desk(folder, precision=f"{bits}bit") as one:
        numbers = [one.ask(prompt, greedy(12)) for prompt in PROMPTS]
        alone = one.answers(numbers)
        assert all(len(answer) == 12 for answer in alone)
        assert one.answers([one.ask(prompt, greedy(12)) for prompt in PROMPTS]) == alone


def test_people_are_told_that_the_own_engine_serves_it(model: Path) -> None:
    found = choice_for(ServeSpec(model=str(model)), inspect_model(model), [])
    assert (found.engine, found.engine_reason) == ("native", "native_suits")
