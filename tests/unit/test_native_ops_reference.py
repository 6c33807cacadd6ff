"""What each operation means, written out the long way."""

from __future__ import annotations

import math

import pytest
import torch

from workers.serve.native import ops
from workers.serve.native.batch import RowSpan, StepBatch, spans_to_runs
from workers.serve.native.ops import reference

PAGE_TOKENS = 4
ROWS = [([7, 2, 3], 0, 10), ([5, 6], 6, 1), ([1, 9, 4, 8], 3, 11), ([11], 0, 1)]
"""(pages, tokens in the cache, new tokens)."""


def _batch(rows: list[tuple[list[int], int, int]], *, on_host: bool) -> StepBatch:
    news = torch.tensor([new for _, _, new in rows])
    starts = torch.cat((torch.zeros(1, dtype=torch.long), news.cumsum(0)))
    contexts = torch.tensor([start + new for _, start, new in rows])
    width = max(len(pages) for pages, _, _ in rows)
    spans = [
        RowSpan(pages, start, new, spans_to_runs(pages, start + new, PAGE_TOKENS))
        for pages, start, new in rows
    ]
    empty = torch.zeros(int(news.sum()), dtype=torch.long)
    return StepBatch(
        input_ids=empty,
        positions=empty,
        slots=empty,
        page_table=torch.tensor([p + [0] * (width - len(p)) for p, _, _ in rows]).int(),
        context_lens=contexts.int(),
        query_starts=starts.int(),
        logits_at=starts[1:] - 1,
        adapters=None,
        max_query=int(news.max()),
        max_context=int(contexts.max()),
        rows_on_host=spans if on_host else None,
    )


def _long_way(
    q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, batch: StepBatch, scale: float
) -> torch.Tensor:
    """One query, one head, one key at a time."""
    group = q.shape[1] // keys.shape[2]
    out = torch.zeros(*q.shape[:2], values.shape[-1])
    at = 0
    for pages, start, new in ROWS if batch.max_query > 1 else _decoding():
        for n in range(new):
            seen = range(start + n + 1)
            slots = [(pages[t // PAGE_TOKENS], t % PAGE_TOKENS) for t in seen]
            for head in range(q.shape[1]):
                k = torch.stack([keys[p, o, head // group] for p, o in slots])
                v = torch.stack([values[p, o, head // group] for p, o in slots])
                out[at, head] = torch.softmax(k @ q[at, head] * scale, 0) @ v
            at += 1
    return out.flatten(1)


def _decoding() -> list[tuple[list[int], int, int]]:
    return [(pages, start + new - 1, 1) for pages, start, new in ROWS]


@pytest.mark.parametrize("heads", [2, 6])
@pytest.mark.parametrize("on_host", [True, False])
@pytest.mark.parametrize("decodes", [True, False])
def test_new_tokens_see_their_row_up_to_themselves(
    heads: int, on_host: bool, decodes: bool
) -> None:
    torch.manual_seed(0)
    keys, values = torch.randn(2, 12, PAGE_TOKENS, 2, 8)
    batch = _batch(_decoding() if decodes else ROWS, on_host=on_host)
    q = torch.randn(batch.tokens, heads, 8)
    made = reference.paged_attention(q, keys, values, batch, 0.3)
    torch.testing.assert_close(made, _long_way(q, keys, values, batch, 0.3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("heads", [2, 6])
def test_prompts_with_nothing_in_the_cache_need_no_pages(heads: int) -> None:
    torch.manual_seed(0)
    keys, values = torch.randn(2, 12, PAGE_TOKENS, 2, 8)
    rows = [(pages, 0, start + new) for pages, start, new in ROWS]
    batch = _batch(rows, on_host=True)
    batch.slots = torch.cat([_slots(pages, new) for pages, _, new in rows])
    q = torch.randn(batch.tokens, heads, 8)
    made = reference.fresh_prompts(q, keys, values, batch, 0.3)
    expected = reference.paged_attention(q, keys, values, batch, 0.3)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)


def _slots(pages: list[int], tokens: int) -> torch.Tensor:
    runs = spans_to_runs(pages, tokens, PAGE_TOKENS)
    return torch.cat([torch.arange(first, first + count) for first, count in runs])


def test_all_heads_share_the_latent_as_key_and_its_front_as_value() -> None:
    torch.manual_seed(0)
    latents = torch.randn(12, PAGE_TOKENS, 12)
    batch = _batch(ROWS, on_host=True)
    q = torch.randn(batch.tokens, 3, 12)
    made = reference.latent_attention(q, latents, batch, 0.3, 8)
    keys = latents[:, :, None]
    expected = _long_way(q, keys, keys[..., :8], batch, 0.3)
    torch.testing.assert_close(made.flatten(1), expected, rtol=1e-4, atol=1e-5)


def test_consecutive_pages_are_read_without_a_copy() -> None:
    pool = torch.randn(48, 2, 8)
    view = reference.read_runs(pool, spans_to_runs([3, 4, 5], 10, PAGE_TOKENS))
    assert view.data_ptr() == pool[12:].data_ptr()
    assert len(view) == 10
    scattered = reference.read_runs(pool, spans_to_runs([3, 5], 6, PAGE_TOKENS))
    torch.testing.assert_close(scattered, pool[[12, 13, 14, 15, 20, 21]])


def test_keys_are_turned_by_their_position_and_land_in_their_slot() -> None:
    heads, kv_heads, width = 4, 2, 8
    qkv = torch.randn(3, (heads + 2 * kv_heads) * width)
    angles = torch.arange(20.0)[:, None] * torch.tensor([1.0, 0.5, 0.25, 0.125])
    cos_sin = torch.cat((angles.cos(), angles.sin()), dim=-1)
    keys, values = torch.zeros(2, 5, PAGE_TOKENS, kv_heads, width)
    positions, slots = torch.tensor([0, 7, 19]), torch.tensor([18, 4, 9])
    q = reference.rope_and_store(qkv, cos_sin, positions, slots, keys, values, heads, kv_heads)
    parts = qkv.view(3, -1, width)
    assert torch.equal(q[0], parts[0, :heads]), "position 0 turns nothing"
    half = width // 2
    for token, (position, slot) in enumerate(zip([0, 7, 19], [18, 4, 9], strict=True)):
        for head in range(kv_heads):
            turned = torch.complex(*parts[token, heads + head].split(half))
            turned = turned * torch.exp(1j * angles[position])
            stored = keys[slot // PAGE_TOKENS, slot % PAGE_TOKENS, head]
            torch.testing.assert_close(stored, torch.cat((turned.real, turned.imag)))
        assert torch.equal(values.flatten(0, 1)[slot], parts[token, heads + kv_heads :])
    assert int((keys.flatten(2).abs().sum(-1) > 0).sum()) == 3, "no other slot is touched"


def test_heads_are_normed_before_they_are_turned() -> None:
    qkv = torch.randn(2, 3 * 4)
    still = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    pools = torch.zeros(2, 1, PAGE_TOKENS, 1, 4)
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0])
    zero = torch.zeros(2, dtype=torch.long)
    q = reference.rope_and_store(
        qkv, still, zero, torch.tensor([0, 1]), *pools, 1, 1, weight, weight, 1e-6
    )
    first = qkv[0, :4]
    expected = first / math.sqrt(float(first.square().mean()) + 1e-6) * weight
    torch.testing.assert_close(q[0, 0], expected)


def test_the_residual_is_added_in_place_and_its_norm_given() -> None:
    x, residual, weight = torch.randn(3, 16), torch.randn(3, 16), torch.randn(16)
    total = x + residual
    normed, same = reference.add_rms_norm(x, residual, weight, 1e-6)
    assert same is residual
    assert torch.equal(residual, total)
    expected = torch.nn.functional.rms_norm(total, (16,), weight, 1e-6)
    torch.testing.assert_close(normed, expected)


def test_gates_are_the_first_half() -> None:
    gate, up = torch.randn(2, 3, 5)
    expected = gate * torch.sigmoid(gate) * up
    torch.testing.assert_close(reference.silu_mul(torch.cat((gate, up), -1)), expected)


def test_nf4_is_unpacked_as_bitsandbytes_packs_it() -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    weight, x, bias = torch.randn(96, 64), torch.randn(3, 64), torch.randn(96)
    packed, state = functional.quantize_4bit(weight, quant_type="nf4", blocksize=64)
    unpacked = functional.dequantize_4bit(packed, state)
    given = packed.flatten(), state.absmax, state.code, (96, 64)
    torch.testing.assert_close(reference.dequantize_nf4(*given, torch.float32), unpacked)
    torch.testing.assert_close(reference.linear_nf4(x, *given, bias), x @ unpacked.t() + bias)


def test_int8_rows_have_a_scale_each() -> None:
    weight = torch.randint(-127, 128, (6, 8), dtype=torch.int8)
    scale, x, bias = torch.rand(6), torch.randn(3, 8), torch.randn(6)
    expected = x @ (weight.float() * scale[:, None]).t() + bias
    torch.testing.assert_close(reference.linear_int8(x, weight, scale, bias), expected)


def test_without_a_card_every_operation_is_the_plain_one() -> None:
    assert not ops.records(torch.device("cpu"))
    assert ops.kernel_of("silu_mul", torch.randn(1, 4)) is None
    assert torch.equal(ops.silu_mul(torch.ones(1, 4)), reference.silu_mul(torch.ones(1, 4)))
