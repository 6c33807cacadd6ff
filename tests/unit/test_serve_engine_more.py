"""What the engine "transformers" does beside writing on: few bits, forms, scores, embeddings."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from tests.tiny_models import build_tiny
from tests.unit.serve_engine_helpers import collect, collect_all, greedy, running_engine
from tests.unit.test_serve_engine import build_unusual, ragged_prompts
from workers.serve.engines.base import NO_TOKEN, EngineError, SamplingParams, Ticket

SCHEMA = json.dumps({"type": "object", "properties": {"ok": {"type": "boolean"}},
                     "required": ["ok"], "additionalProperties": False})  # fmt: skip


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that is batched, and one that may not be; both with a tokenizer."""
    folder = tmp_path_factory.mktemp("more") / request.param
    if request.param == "llama":
        return build_tiny(folder, "llama")
    build_unusual(folder, "gpt2")
    from tests.tiny_models import tiny_tokenizer

    tiny_tokenizer().save_pretrained(folder)
    return folder


def test_an_answer_obeys_its_form_beside_free_ones(model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    params = SamplingParams(max_new_tokens=60, temperature=1.0, seed="3", grammar=SCHEMA)

    async def serve() -> None:
        with running_engine(model) as engine:
            assert "grammar" in engine.facts.features
            free = engine.submit([5, 6], greedy(20), None)
            bound = engine.submit([7, 8, 9], params, None)
            wrong = engine.submit([7], SamplingParams(max_new_tokens=5, grammar="{"), None)
            with pytest.raises(EngineError):
                await collect(wrong)
            events = await collect(bound)
            assert len(await collect(free)) == 20
            text = tokenizer.decode([e.token for e in events if not e.is_stop_token])
            assert isinstance(json.loads(text)["ok"], bool)
            assert events[-1].finish == "stop"

    asyncio.run(serve())


def reference_logprobs(model: Path, prompt: list[int]) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    with torch.inference_mode():
        return reference(torch.tensor([prompt])).logits[0].log_softmax(-1)


def test_scores_of_a_prompt_are_the_models_own(model: Path) -> None:
    prompt = ragged_prompts(1, 30)[0] + [9, 9]
    expected = reference_logprobs(model, prompt)
    scored = SamplingParams(max_new_tokens=0, prompt_logprobs=3)
    both = SamplingParams(max_new_tokens=4, temperature=0.0, prompt_logprobs=0, ignore_eos=True)

    async def serve() -> None:
        with running_engine(model) as engine:
            plain = engine.submit(prompt, greedy(4), None)
            (only,) = await collect(engine.submit(prompt, scored, None))
            events = await collect(engine.submit(prompt, both, None))
        assert (only.token, only.finish) == (NO_TOKEN, "length")
        for found in (only.prompt_logprobs, events[0].prompt_logprobs):
            assert found is not None
            assert found[0] is None
            assert len(found) == len(prompt)
            for i, entry in enumerate(found[1:], 1):
                assert entry is not None
                assert math.isclose(entry.chosen, expected[i - 1, prompt[i]], abs_tol=1e-3)
        assert only.prompt_logprobs is not None
        top = only.prompt_logprobs[1]
        assert top is not None
        assert [t for t, _ in top.top] == expected[0].topk(3).indices.tolist()
        assert [e.token for e in events] == (await collect_all([plain]))[0]

    asyncio.run(serve())


def test_an_embedding_is_a_unit_vector_of_its_prompt(model: Path) -> None:
    params = SamplingParams(max_new_tokens=0, embed=True)

    async def serve() -> list[tuple[float, ...]]:
        with running_engine(model) as engine:

            async def vector(prompt: list[int]) -> tuple[float, ...]:
                ticket: Ticket = engine.submit(prompt, params, None)
                (event,) = await collect(ticket)
                assert event.token == NO_TOKEN
                assert event.embedding is not None
                return event.embedding

            return [await vector(p) for p in ([5, 6, 7], [5, 6, 7], [90, 91])]

    one, same, other = asyncio.run(serve())
    assert math.isclose(sum(x * x for x in one), 1.0, abs_tol=1e-5)
    assert one == same
    assert one != other


@pytest.mark.parametrize(
    ("arch", "precision"),
    # bitsandbytes 0.50 cannot multiply MLA's strided input in 8 bits on a processor.
    [("llama", "8bit"), ("llama", "4bit"), ("deepseek_v3", "4bit")],
)
def test_quantized_models_answer_as_the_library_quantizes_them(
    arch: str, precision: str, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForCausalLM

    from workers.serve.engines.loading import _leave_unpackable_as_they_are, _quantization

    model = build_tiny(tmp_path / arch, arch, hidden_size=64, intermediate_size=128)
    prompts = ragged_prompts(3, 20)
    reference = AutoModelForCausalLM.from_pretrained(
        model,
        dtype=torch.float32,
        quantization_config=_quantization(precision, torch.float32, offloads=False),
        device_map={"": "cpu"},
    ).eval()
    _leave_unpackable_as_they_are(reference)

    async def serve() -> list[list[int]]:
        with running_engine(model, precision=precision) as engine:
            assert (engine.facts.precision, engine.facts.dtype) == (precision, "fp32")
            return await collect_all([engine.submit(p, greedy(6), None) for p in prompts])

    for prompt, answer in zip(prompts, asyncio.run(serve()), strict=True):
        ids = torch.tensor([prompt + answer])
        with torch.inference_mode():
            logits = reference(ids).logits[0]
        for i, token in enumerate(answer):
            row = logits[len(prompt) - 1 + i]
            assert float(row.max() - row[token]) < 0.05 * float(row.std())
