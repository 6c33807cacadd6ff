"""DeepSeek-V2 and V3 on a card: their kernels, recorded passes, and the whole native engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from tests.tiny_models import build_tiny
from tests.unit.native_core_helpers import Desk, desk, ragged_prompts
from tests.unit.native_kernel_cases import PAGE, a_pass, far
from tests.unit.serve_engine_helpers import expected_greedy, greedy
from workers.serve.native import memory, ops
from workers.serve.native.ops import reference

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card"),
]

CARD: dict[str, Any] = {"device": "cuda", "memory_share": 0.5}
COUNTS = [5, 31, 12, 3, 24, 17, 1, 9, 20]
WIDE: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "kv_lora_rank": 64,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 32,
    "v_head_dim": 32,
    "moe_intermediate_size": 128,
}
NEAR = {torch.float32: 2e-5, torch.bfloat16: 6e-3, torch.float16: 1e-3}


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, device="cuda", dtype=dtype)


def taken(name: str, *args: Any) -> Any:
    """The kernel's answer: falling back to plain torch would test nothing."""
    kernel = ops.kernel_of(name, *args)
    assert kernel is not None, name
    return kernel(*args)


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize(("heads", "rank", "rope"), [(16, 512, 64), (5, 96, 24)])
def test_latents_are_stored_and_queries_joined(
    heads: int, rank: int, rope: int, interleaved: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    batch = a_pass([(200, 31), (40, 1), (9, 9)], 40, device="cuda")
    angles = noise(256, rope // 2)
    cos_sin = torch.cat((angles.cos(), angles.sin()), -1)
    both, gain = noise(batch.tokens, 48 + rank + rope, dtype=dtype), noise(rank, dtype=dtype)
    ours, plain = (torch.zeros(40, PAGE, rank + rope, device="cuda", dtype=dtype) for _ in "ab")
    given = both[:, 48:], gain, 1e-6, cos_sin, batch.positions, batch.slots
    taken("latent_store", *given, ours, interleaved)
    reference.latent_store(*given, plain, interleaved)
    assert far(ours, plain) < NEAR[dtype]
    assert torch.equal(ours.any(-1), plain.any(-1)), "nobody else's slot was touched"
    absorbed = noise(heads, batch.tokens, rank, dtype=dtype).transpose(0, 1)
    turning = noise(batch.tokens, heads, 16 + rope, dtype=dtype)[..., 16:]
    args = absorbed, turning, cos_sin, batch.positions, interleaved
    assert far(taken("latent_queries", *args), reference.latent_queries(*args)) < NEAR[dtype]


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("tokens", [1, 40, 700])
def test_routed_experts(tokens: int, dtype: torch.dtype) -> None:
    from workers.serve.native.ops import triton_experts

    torch.manual_seed(0)
    x, shares = noise(tokens, 512, dtype=dtype), torch.rand(tokens, 6, device="cuda")
    gate_up, down = noise(16, 2 * 352, 512, dtype=dtype), noise(16, 512, 352, dtype=dtype)
    gate_up, down = gate_up * 512**-0.5, down * 352**-0.5
    chosen = torch.rand(tokens, 16, device="cuda").topk(6).indices
    ours = triton_experts.routed_experts(x, gate_up, down, shares, chosen)
    wide = (t.float() for t in (x, gate_up, down))
    assert far(ours, reference.routed_experts(*wide, shares, chosen)) < NEAR[dtype]


def join_one_by_one(one: Desk, prompts: list[list[int]], counts: list[int]) -> list[int]:
    numbers = []
    for prompt, count in zip(prompts, counts, strict=True):
        numbers.append(one.ask(prompt, greedy(count)))
        one.step()
    return numbers


@pytest.mark.parametrize("arch", ["deepseek_v2", "deepseek_v3"])
def test_joins_leaves_and_known_beginnings_give_generates_tokens(arch: str, tmp_path: Path) -> None:
    model = build_tiny(tmp_path / arch, arch, seed=3)
    prompts = ragged_prompts(9)
    expected = expected_greedy(model, prompts, COUNTS)
    with desk(model, max_batch_size=4, precision="fp32", prefill_tokens=16, **CARD) as one:
        for _ in range(2):
            assert one.answers(join_one_by_one(one, prompts, COUNTS)) == expected
        assert one.core.stats().prefix_hit_tokens > 0
        assert one.core.stats().cache_tokens == 0


@pytest.mark.parametrize("arch", ["deepseek_v2", "deepseek_v3"])
def test_rows_put_back_by_a_dry_pool_go_on_as_before(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_tiny(tmp_path / arch, arch, seed=3)
    prompts, counts = ragged_prompts(6, 20), [40, 30, 50, 20, 45, 35]
    expected = expected_greedy(model, prompts, counts)
    monkeypatch.setattr(memory, "pages_that_fit", lambda *_, **__: 9)
    spec = {"precision": "fp32", "max_batch_size": 4, "max_context_tokens": 100, **CARD}
    with desk(model, prefix_cache=False, **spec) as one:
        one.core._loop.scheduler._answer_tokens = 1.0
        numbers = [one.ask(p, greedy(c)) for p, c in zip(prompts, counts, strict=True)]
        assert one.answers(numbers) == expected
        assert one.core.stats().preemptions > 0


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("arch", ["deepseek_v2", "deepseek_v3"])
def test_passes_with_routed_experts_are_recorded(arch: str, precision: str, tmp_path: Path) -> None:
    model = build_tiny(tmp_path / arch, arch, seed=3, **WIDE)
    with desk(model, precision=precision, max_batch_size=4, **CARD) as one:
        recordings = one.core._machine.runner.graphs
        assert recordings is not None
        assert recordings.reason == ""
        numbers = [one.ask(p, greedy(c)) for p, c in zip(ragged_prompts(9), COUNTS, strict=True)]
        assert [len(answer) for answer in one.answers(numbers)] == COUNTS


@pytest.mark.parametrize("bits", [4, 8])
def test_few_bits_are_served_with_absorbed_matrices_in_16(bits: int, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    model = build_tiny(tmp_path / "m", "deepseek_v2", seed=3, **WIDE)
    with desk(model, precision=f"{bits}bit", max_batch_size=4, **CARD) as one:
        up = one.core._machine.loaded.model.model.layers[0].self_attn.kv_b_proj
        assert up.weight.dtype == torch.bfloat16
        numbers = [one.ask(p, greedy(c)) for p, c in zip(ragged_prompts(9), COUNTS, strict=True)]
        assert [len(answer) for answer in one.answers(numbers)] == COUNTS
