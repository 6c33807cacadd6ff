"""What `test_native_kernels_interpreted.py` runs in a child of its own: `NAME` of a check."""

from __future__ import annotations

import sys

import torch

from tests.unit.native_kernel_cases import PAGE, a_pass, far, nf4
from workers.serve.native.ops import reference


def norms() -> None:
    from workers.serve.native.ops import triton_norm

    for columns in (64, 96, 896):
        x, weight = torch.randn(3, columns), torch.randn(columns)
        assert (
            far(triton_norm.rms_norm(x, weight, 1e-6), reference.rms_norm(x, weight, 1e-6)) < 1e-5
        )
        ours, plain = torch.randn(3, columns), torch.empty(0)
        plain = ours.clone()
        normed, kept = triton_norm.add_rms_norm(x, ours, weight, 1e-6)
        expected, _ = reference.add_rms_norm(x, plain, weight, 1e-6)
        assert kept is ours
        assert torch.equal(ours, plain)
        assert far(normed, expected) < 1e-5


def silu() -> None:
    from workers.serve.native.ops import triton_silu

    x = torch.randn(3, 2 * 1100)
    assert far(triton_silu.silu_mul(x), reference.silu_mul(x)) < 1e-5


def rope() -> None:
    from workers.serve.native.ops import triton_rope

    for heads, kv_heads, width, normed in ((4, 4, 64, False), (6, 1, 96, False), (3, 2, 32, True)):
        batch = a_pass([(20, 3), (5, 1)], 4)
        qkv = torch.randn(4, (heads + 2 * kv_heads) * width)
        angles = torch.randn(32, width // 2)
        cos_sin = torch.cat((angles.cos(), angles.sin()), -1)
        norms = (torch.randn(width), torch.randn(width)) if normed else (None, None)
        pools = [torch.randn(4, PAGE, kv_heads, width) for _ in range(2)]
        plain = [pool.clone() for pool in pools]
        args = (heads, kv_heads, *norms, 1e-6)
        ours = triton_rope.rope_and_store(qkv, cos_sin, batch.positions, batch.slots, *pools, *args)
        expected = reference.rope_and_store(
            qkv, cos_sin, batch.positions, batch.slots, *plain, *args
        )
        assert far(ours, expected) < 1e-5
        assert far(pools[0], plain[0]) < 1e-5
        assert torch.equal(pools[1], plain[1])


def _attention(rows: list[tuple[int, int]], heads: int, kv_heads: int, width: int) -> None:
    from workers.serve.native.ops import triton_attention

    batch = a_pass(rows, 1 + sum(-(-c // PAGE) for c, _ in rows), spare=3)
    q = torch.randn(batch.tokens, heads, width)
    keys, values = (torch.randn(64, PAGE, kv_heads, width) for _ in range(2))
    ours = triton_attention.paged_attention(q, keys, values, batch, width**-0.5)
    assert far(ours, reference.paged_attention(q, keys, values, batch, width**-0.5)) < 1e-5


def decode() -> None:
    _attention([(1, 1), (37, 1), (130, 1)] * 3, 2, 2, 64)
    _attention([(16, 1), (17, 1)], 7, 1, 32)


def decode_in_pieces() -> None:
    _attention([(700, 1), (3, 1)], 2, 1, 32)


def prefill() -> None:
    _attention([(40, 40)], 2, 2, 64)
    _attention([(150, 150), (90, 20), (33, 33)], 6, 2, 32)


def mixed() -> None:
    _attention([(200, 1), (150, 70), (5, 1), (2, 2)], 4, 2, 32)


def latent() -> None:
    from workers.serve.native.ops import triton_latent

    for rows in ([(70, 1), (1, 1)], [(400, 1)], [(50, 50)], [(70, 1), (60, 30), (9, 9)]):
        for heads in (16, 5, 20):
            batch = a_pass(rows, 40, spare=2)
            q, latents = torch.randn(batch.tokens, heads, 80), torch.randn(40, PAGE, 80)
            ours = triton_latent.latent_attention(q, latents, batch, 0.1, 64)
            expected = reference.latent_attention(q, latents, batch, 0.1, 64)
            assert far(ours, expected) < 1e-5, (rows, heads)


def latent_rope() -> None:
    from workers.serve.native.ops import triton_latent_rope

    for heads, rank, rope in ((5, 64, 16), (16, 96, 24), (3, 32, 64)):
        for interleaved in (True, False):
            batch = a_pass([(20, 3), (5, 1)], 4)
            both, gain = torch.randn(4, 40 + rank + rope), torch.randn(rank)
            angles = torch.randn(32, rope // 2)
            cos_sin = torch.cat((angles.cos(), angles.sin()), -1)
            ours = torch.randn(4, PAGE, rank + rope)
            plain = ours.clone()
            given = both[:, 40:], gain, 1e-6, cos_sin, batch.positions, batch.slots
            assert triton_latent_rope.suits_latent_store(*given, ours, interleaved)
            triton_latent_rope.latent_store(*given, ours, interleaved)
            reference.latent_store(*given, plain, interleaved)
            assert far(ours, plain) < 1e-6
            absorbed = torch.randn(heads, 4, rank).transpose(0, 1)
            turning = torch.randn(4, heads, 8 + rope)[..., 8:]
            args = absorbed, turning, cos_sin, batch.positions, interleaved
            assert triton_latent_rope.suits_latent_queries(*args)
            made = triton_latent_rope.latent_queries(*args)
            assert far(made, reference.latent_queries(*args)) < 1e-6


def experts() -> None:
    from workers.serve.native.ops import triton_experts

    for tokens, hidden, fan, count, chosen in (
        (1, 48, 40, 8, 3), (23, 32, 16, 4, 2), (70, 16, 80, 2, 2),
    ):  # fmt: skip
        x, shares = torch.randn(tokens, hidden), torch.rand(tokens, chosen)
        gate_up, down = torch.randn(count, 2 * fan, hidden), torch.randn(count, hidden, fan)
        routed = torch.rand(tokens, count).topk(chosen).indices
        ours = triton_experts.routed_experts(x, gate_up, down, shares, routed)
        assert far(ours, reference.routed_experts(x, gate_up, down, shares, routed)) < 1e-5


def _rows(count: int, deep: int) -> torch.Tensor:
    return torch.randn(count, deep, dtype=torch.float16)


def linear() -> None:
    from workers.serve.native.ops import triton_small_linear

    for rows, wide, deep in ((1, 100, 96), (3, 64, 4112), (5, 100, 96), (16, 64, 528)):
        x, weight, bias = _rows(rows, deep), _rows(wide, deep), torch.randn(wide)
        for added in (None, bias):
            assert triton_small_linear.suits_linear(x, weight, added)
            ours = triton_small_linear.linear(x, weight, added)
            assert far(ours, reference.linear(x.float(), weight.float(), added)) < 1e-3


def int8() -> None:
    from workers.serve.native.ops import triton_linear_int8

    for rows, wide, deep in (
        (1, 100, 96),
        (2, 64, 4112),
        (5, 100, 96),
        (33, 64, 528),
        (65, 48, 1040),
    ):
        x, bias, scale = _rows(rows, deep), torch.randn(wide).half(), torch.rand(wide) / 127
        weight = torch.randint(-127, 128, (wide, deep), dtype=torch.int8)
        for added in (None, bias):
            assert triton_linear_int8.suits_linear_int8(x, weight, scale, added)
            wide_bias = None if added is None else added.float()
            ours = triton_linear_int8.linear_int8(x, weight, scale, added)
            assert far(ours, reference.linear_int8(x.float(), weight, scale, wide_bias)) < 1e-3


def nf4_linear() -> None:
    from workers.serve.native.ops import triton_linear_nf4

    for rows, wide, deep in ((1, 100, 128), (2, 64, 1088), (5, 100, 320), (17, 64, 4160)):
        x, bias, weight = _rows(rows, deep), torch.randn(wide), nf4(wide, deep)
        for added in (None, bias):
            assert triton_linear_nf4.suits_linear_nf4(x, *weight, (wide, deep), added)
            ours = triton_linear_nf4.linear_nf4(x, *weight, (wide, deep), added)
            expected = reference.linear_nf4(x.float(), *weight, (wide, deep), added)
            assert far(ours, expected) < 1e-3, (rows, wide, deep)


CHECKS = {
    "norms": norms, "silu": silu, "rope": rope, "decode": decode, "prefill": prefill,
    "decode_in_pieces": decode_in_pieces, "mixed": mixed, "latent": latent,
    "latent_rope": latent_rope, "experts": experts, "linear": linear, "int8": int8,
    "nf4": nf4_linear,
}  # fmt: skip

if __name__ == "__main__":
    torch.manual_seed(0)
    CHECKS[sys.argv[1]]()
