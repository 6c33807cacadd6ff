"""The native engine's kernels on an NVIDIA card, against plain torch in double the precision."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no NVIDIA card"),
]

from tests.unit.native_kernel_cases import PAGE, a_pass, far, nf4  # noqa: E402
from workers.serve.native import ops  # noqa: E402
from workers.serve.native.ops import reference  # noqa: E402

DTYPES = [torch.bfloat16, torch.float16, torch.float32]
HALVES = DTYPES[:2]
NEAR = {torch.float32: 2e-5, torch.bfloat16: 6e-3, torch.float16: 1e-3}


def noise(*shape: int, dtype: Any = torch.float32) -> Any:
    return torch.randn(*shape, device="cuda", dtype=dtype)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def taken(name: str, *args: Any) -> Any:
    """The kernel's answer: falling back to plain torch would test nothing."""
    kernel = ops.kernel_of(name, *args)
    assert kernel is not None, name
    return kernel(*args)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [96, 896, 4096, 7168])
def test_norms(columns: int, dtype: Any) -> None:
    x, residual = noise(5, columns, dtype=dtype), noise(5, columns, dtype=dtype)
    weight, kept = noise(columns, dtype=dtype), residual.clone()
    normed = taken("rms_norm", x, weight, 1e-6)
    assert far(normed, reference.rms_norm(x, weight, 1e-6)) < NEAR[dtype]
    normed, total = taken("add_rms_norm", x, residual, weight, 1e-6)
    expected, _ = reference.add_rms_norm(x, kept, weight, 1e-6)
    assert total is residual
    assert torch.equal(residual, kept)
    assert far(normed, expected) < NEAR[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_gated_unit(dtype: Any) -> None:
    x = noise(5, 2 * 11008, dtype=dtype)
    assert far(taken("silu_mul", x), reference.silu_mul(x)) < NEAR[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("heads", "kv_heads", "width", "normed"),
    [(32, 32, 128, False), (28, 4, 128, False), (14, 2, 64, True), (6, 1, 96, True)],
)
def test_rotation_and_storing(
    heads: int, kv_heads: int, width: int, normed: bool, dtype: Any
) -> None:
    batch = a_pass([(200, 150), (37, 1), (16, 16)], 24, "cuda")
    qkv = noise(batch.tokens, (heads + 2 * kv_heads) * width, dtype=dtype)
    angles = noise(256, width // 2)
    cos_sin = torch.cat((angles.cos(), angles.sin()), dim=-1)
    norms = [noise(width, dtype=dtype) if normed else None for _ in range(2)]
    pools = [noise(24, PAGE, kv_heads, width, dtype=dtype) for _ in range(2)]
    plain = [pool.clone() for pool in pools]
    before, behind = (qkv, cos_sin, batch.positions, batch.slots), (heads, kv_heads, *norms, 1e-6)
    ours = taken("rope_and_store", *before, *pools, *behind)
    expected = reference.rope_and_store(*before, *plain, *behind)
    assert far(ours, expected) < NEAR[dtype]
    assert far(pools[0], plain[0]) < NEAR[dtype]
    assert torch.equal(pools[1], plain[1])


DECODES = [[(1, 1)], [(700, 1), (3, 1), (64, 1)], [(90 + 7 * i, 1) for i in range(70)]]
PROMPTS = [[(128, 128)], [(1300, 1300)], [(700, 300), (33, 33), (2, 2)]]
MIXED = [[(900, 1), (150, 70), (5, 1), (40, 40)]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("heads", "kv_heads", "width"),
    [(32, 32, 128), (28, 4, 128), (12, 2, 128), (14, 2, 64), (16, 1, 256), (4, 4, 256)],
)
@pytest.mark.parametrize("rows", DECODES + PROMPTS + MIXED)
def test_paged_attention(
    rows: list[tuple[int, int]], heads: int, kv_heads: int, width: int, dtype: Any
) -> None:
    pages = 1 + sum(-(-context // PAGE) for context, _ in rows)
    batch = a_pass(rows, pages, "cuda", spare=9)
    q = noise(batch.tokens, heads, width, dtype=dtype)
    keys, values = (noise(pages, PAGE, kv_heads, width, dtype=dtype) for _ in range(2))
    keys[0] = values[0] = float("nan")  # the scratch page must not be looked at
    ours = taken("paged_attention", q, keys, values, batch, width**-0.5)
    wide = (t.float() for t in (q, keys, values))
    batch.rows_on_host = reference.host_rows(batch, PAGE)
    assert far(ours, reference.paged_attention(*wide, batch, width**-0.5)) < NEAR[dtype]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("heads", [16, 128])
@pytest.mark.parametrize("rows", [*DECODES[:2], *PROMPTS[1:], *MIXED])
def test_latent_attention(rows: list[tuple[int, int]], heads: int, dtype: Any) -> None:
    batch = a_pass(rows, 200, "cuda", spare=9)
    q, latents = noise(batch.tokens, heads, 576, dtype=dtype), noise(200, PAGE, 576, dtype=dtype)
    latents[0] = float("nan")
    ours = taken("latent_attention", q, latents, batch, 0.04, 512)
    expected = reference.latent_attention(q.float(), latents.float(), batch, 0.04, 512)
    assert far(ours, expected) < NEAR[dtype]


SHAPES = [(4096, 4096), (1536, 8960), (1000, 1040), (4608, 3584)]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("rows", [1, 2, 3, 8, 16])
@pytest.mark.parametrize(("wide", "deep"), SHAPES)
def test_products_of_few_rows(wide: int, deep: int, rows: int, dtype: Any) -> None:
    x, weight = noise(rows, deep, dtype=dtype), noise(wide, deep, dtype=dtype)
    for bias in (None, noise(wide, dtype=dtype)):
        if ops.kernel_of("linear", x, weight, bias) is None:
            continue  # left to the card's own library
        added = None if bias is None else bias.float()
        expected = reference.linear(x.float(), weight.float(), added)
        assert far(taken("linear", x, weight, bias), expected) < NEAR[dtype]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("rows", [1, 2, 8, 33, 64, 200])
@pytest.mark.parametrize(("wide", "deep"), SHAPES)
def test_products_with_8_bits(wide: int, deep: int, rows: int, dtype: Any) -> None:
    x, scale = noise(rows, deep, dtype=dtype), torch.rand(wide, device="cuda") / 127
    weight = torch.randint(-127, 128, (wide, deep), device="cuda", dtype=torch.int8)
    for bias in (None, noise(wide, dtype=dtype)):
        ours = taken("linear_int8", x, weight, scale, bias)
        added = None if bias is None else bias.float()
        assert far(ours, reference.linear_int8(x.float(), weight, scale, added)) < NEAR[dtype]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("rows", [1, 2, 4, 5, 16, 64])
@pytest.mark.parametrize(("wide", "deep"), [(4096, 4096), (1536, 8960), (1000, 1088)])
def test_products_with_4_bits(wide: int, deep: int, rows: int, dtype: Any) -> None:
    x, weight = noise(rows, deep, dtype=dtype), nf4(wide, deep, "cuda")
    for bias in (None, noise(wide, dtype=dtype)):
        ours = taken("linear_nf4", x, *weight, (wide, deep), bias)
        added = None if bias is None else bias.float()
        expected = reference.linear_nf4(x.float(), *weight, (wide, deep), added)
        assert far(ours, expected) < NEAR[dtype]


def test_a_recorded_pass_is_right_for_every_length() -> None:
    """Kernels that overlap, in a graph, replayed with other contexts than it was recorded with."""
    heads, width, pages = 8, 128, 200
    weight, gain = noise(4096, heads * width, dtype=torch.bfloat16) / 30, noise(4096).bfloat16()
    keys, values = (noise(pages, PAGE, heads, width, dtype=torch.bfloat16) for _ in range(2))
    x = noise(2, heads * width, dtype=torch.bfloat16)
    batch = a_pass([(1, 1), (1, 1)], pages, "cuda", spare=99)

    def compute(of: Any) -> Any:
        q = x.view(2, heads, width)
        for _ in range(6):
            q = of.paged_attention(q.view(2, heads, width), keys, values, batch, width**-0.5)
            made = of.rms_norm(of.linear(q, weight), gain, 1e-6)
            q = of.silu_mul(made)[:, : heads * width].contiguous() + x
        return q

    compute(ops)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        ours = compute(ops)
    for lengths in ((5, 1), (700, 30), (1300, 1500)):
        new = a_pass([(length, 1) for length in lengths], pages, "cuda")
        batch.page_table.zero_()[:, : new.page_table.shape[1]] = new.page_table
        batch.context_lens.copy_(new.context_lens)
        batch.max_context = max(lengths)
        for _ in range(3):
            graph.replay()
        expected = compute(reference)
        assert far(ours, expected) < 2e-2, lengths
