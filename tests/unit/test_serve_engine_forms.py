"""The engine "transformers" holds answers to a form, beside others that are free."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.tiny_models import build_tiny, tiny_tokenizer
from tests.unit.serve_engine_helpers import (
    collect,
    collect_all,
    expected_greedy,
    greedy,
    running_engine,
)
from tests.unit.test_serve_engine import build_unusual
from workers.serve.engines.base import EngineError, SamplingParams

pytest.importorskip("llguidance")

SCHEMA = {
    "type": "object",
    "properties": {"a": {"enum": [1, 2]}, "b": {"type": "string", "maxLength": 4}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
PROMPTS = [[5, 6, 7], [9, 3], [11, 12, 13, 14]]


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_an_answer_obeys_its_grammar_beside_others_that_are_free(arch: str, tmp_path: Path) -> None:
    if arch == "gpt2":  # not batched: one after the other by `generate`
        tiny_tokenizer().save_pretrained(model := build_unusual(tmp_path / "m", arch))
    else:
        model = build_tiny(tmp_path / "m", arch)
    expected = expected_greedy(model, PROMPTS[:2], [12, 9])
    bound = SamplingParams(90, 1.0, seed="3", grammar=json.dumps(SCHEMA), ignore_eos=True)

    async def serve() -> tuple[list[list[int]], str, list[int]]:
        with running_engine(model) as engine:
            assert "grammar" in engine.facts.features
            free = [
                engine.submit(p, greedy(n), None) for p, n in zip(PROMPTS[:2], [12, 9], strict=True)
            ]
            held = engine.submit(PROMPTS[2], bound, None)
            wrong = engine.submit(PROMPTS[2], SamplingParams(9, grammar="[]"), None)
            left = engine.submit(PROMPTS[2], bound, None)
            engine.cancel(left)
            with pytest.raises(EngineError, match="JSON object"):
                await collect(wrong)
            events = await collect(held)
            assert events[-1].finish == "stop"
            tokens = [event.token for event in events if not event.is_stop_token]
            again = engine.submit(PROMPTS[2], bound, None)
            return await collect_all(free), tiny_tokenizer().decode(tokens), [
                event.token for event in await collect(again) if not event.is_stop_token
            ]  # fmt: skip

    free, text, again = asyncio.run(serve())
    assert free == expected
    value = json.loads(text)
    assert list(value) == ["a", "b"]
    assert value["a"] in (1, 2)
    assert tiny_tokenizer().decode(again) == text
