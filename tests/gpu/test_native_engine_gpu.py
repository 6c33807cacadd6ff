"""The native engine on a card: one pass ahead, recorded passes, memory within its share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from tests.tiny_models import build_tiny
from tests.unit.native_core_helpers import Desk, desk, ragged_prompts
from tests.unit.serve_engine_helpers import expected_greedy, greedy
from workers.serve.engines.base import SamplingParams
from workers.serve.native import memory

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card"),
]

CARD = {"device": "cuda", "memory_share": 0.5}
COUNTS = [5, 31, 12, 3, 24, 17, 1, 9, 20]
WIDE = {"hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 4, "head_dim": 64}
NEARLY_BEST = 0.05
"""How far below the best logit in float32 a token of the same model in 16 bits may lie."""


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("llama"), "llama", seed=3, **WIDE)


def join_one_by_one(one: Desk, prompts: list[list[int]], counts: list[int]) -> list[int]:
    numbers = []
    for prompt, count in zip(prompts, counts, strict=True):
        numbers.append(one.ask(prompt, greedy(count)))
        one.step()
    return numbers


def worst_gap(model: Path, prompts: list[list[int]], answers: list[list[int]]) -> float:
    """The most by which a chosen token's logit is below the best one, in float32."""
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    gaps = []
    for prompt, answer in zip(prompts, answers, strict=True):
        with torch.no_grad():
            logits = reference(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        chosen = logits.gather(1, torch.tensor(answer)[:, None])[:, 0]
        gaps.append(float((logits.amax(-1) - chosen).max()))
    return max(gaps)


@pytest.mark.parametrize("arch", ["llama", "qwen2", "qwen3"])
def test_joins_leaves_and_known_beginnings_give_generates_tokens(arch: str, tmp_path: Path) -> None:
    model = build_tiny(tmp_path / arch, arch, seed=3)
    prompts = ragged_prompts(9)
    expected = expected_greedy(model, prompts, COUNTS)
    with desk(model, max_batch_size=4, precision="fp32", **CARD) as one:
        assert one.core._loop._one_ahead
        for _ in range(2):
            assert one.answers(join_one_by_one(one, prompts, COUNTS)) == expected
        assert one.core.stats().prefix_hit_tokens > 0
        assert one.core.stats().cache_tokens == 0


@pytest.mark.parametrize("graphs", [True, False])
def test_16_bit_answers_are_those_of_the_model_with_and_without_recordings(
    llama: Path, graphs: bool
) -> None:
    prompts = [*ragged_prompts(20, 100), *ragged_prompts(4, 20, 9)]
    counts = [(7 * i) % 60 + 1 for i in range(24)]
    spec = {"precision": "bf16", "max_batch_size": 12, "cuda_graphs": graphs, **CARD}
    with desk(llama, prefill_tokens=64, **spec) as one:
        recordings = one.core._machine.runner.graphs
        assert (recordings is not None and not recordings.reason) is graphs
        answers = one.answers(join_one_by_one(one, prompts, counts))
    assert [len(answer) for answer in answers] == counts
    assert worst_gap(llama, prompts, answers) < NEARLY_BEST


def test_rows_put_back_by_a_dry_pool_go_on_as_before(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts, counts = ragged_prompts(6, 20), [40, 30, 50, 20, 45, 35]
    expected = expected_greedy(llama, prompts, counts)
    monkeypatch.setattr(memory, "pages_that_fit", lambda *_, **__: 9)
    spec = {"precision": "fp32", "max_batch_size": 4, "max_context_tokens": 100, **CARD}
    with desk(llama, prefix_cache=False, **spec) as one:
        one.core._loop.scheduler._answer_tokens = 1.0
        numbers = [one.ask(p, greedy(c)) for p, c in zip(prompts, counts, strict=True)]
        assert one.answers(numbers) == expected
        assert one.core.stats().preemptions > 0


def test_a_seeded_answer_is_the_same_alone_and_in_company(llama: Path) -> None:
    params = SamplingParams(30, 0.9, top_p=0.8, top_k=50, seed="17", ignore_eos=True)
    prompt, *others = ragged_prompts(6)
    with desk(llama, precision="fp32", **CARD) as one:
        (alone,) = one.answers([one.ask(prompt, params)])
        company = [one.ask(p, SamplingParams(50, top_p=0.9)) for p in others]
        assert one.answers([one.ask(prompt, params), *company])[0] == alone


def test_an_answer_obeys_its_grammar_one_pass_ahead(llama: Path) -> None:
    pytest.importorskip("llguidance")
    from transformers import AutoTokenizer

    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}
    text = json.dumps(schema | {"additionalProperties": False})
    with desk(llama, precision="bf16", **CARD) as one:
        bound = one.ask([5, 9, 7], SamplingParams(60, 0.0, grammar=text))
        free = [one.ask(p, greedy(30)) for p in ragged_prompts(3)]
        assert [len(answer) for answer in one.answers(free)] == [30, 30, 30]
        said = AutoTokenizer.from_pretrained(llama).decode(
            one.tokens(bound), skip_special_tokens=True
        )
        assert json.loads(said)["a"] in (1, 2)


def test_scores_embeddings_and_writing_share_a_step(llama: Path) -> None:
    prompt = ragged_prompts(1)[0] * 3
    with desk(llama, precision="fp32", prefill_tokens=16, **CARD) as one:
        writing = one.ask(prompt[:5], greedy(40))
        scored = one.ask(prompt, greedy(2, prompt_logprobs=1, logprobs=1))
        embedded = one.ask(prompt, SamplingParams(1, embed=True))
        one.run()
        assert len(one.tokens(writing)) == 40
        scores = one.events[scored][0].prompt_logprobs
        assert scores is not None
        assert len(scores) == len(prompt)
        vector = one.events[embedded][0].embedding
        assert vector is not None
        assert sum(x * x for x in vector) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("share", [0.3, 0.85])
def test_all_users_together_stay_within_the_cards_share(llama: Path, share: float) -> None:
    with desk(llama, precision="bf16", device="cuda", memory_share=share) as one:
        numbers = [one.ask(p, greedy(40)) for p in ragged_prompts(128, 100)]
        one.run()
        assert all(len(one.tokens(n)) == 40 for n in numbers)
        free, total = torch.cuda.mem_get_info()
        assert total - free <= share * total
