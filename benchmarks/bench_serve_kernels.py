"""The native engine's kernels on one card, in recorded graphs, and what a whole step would take.

    python benchmarks/bench_serve_kernels.py [--step-only]

Each operation runs over as many copies of its weights or cache as do not fit into the card's cache,
all launches of a line in one graph. "GB/s" counts what has to be read once; prompts are in TFLOP/s.
Steps are loops over random layers of DeepSeek-LLM-7B's shape (30 layers, 4096 wide, 32 heads) with
the operations in the engine's order, head included, sampling not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional

from tests.unit.native_kernel_cases import PAGE, a_pass, nf4
from workers.serve.native import ops
from workers.serve.native.batch import StepBatch

LAYERS, HIDDEN, HEADS, WIDTH, INNER, WORDS = 30, 4096, 32, 128, 11_008, 102_400
SHAPES = {
    "7B qkv": (3 * HIDDEN, HIDDEN),
    "7B out": (HIDDEN, HIDDEN),
    "7B gate+up": (2 * INNER, HIDDEN),
    "7B down": (HIDDEN, INNER),
    "7B head": (WORDS, HIDDEN),
    "Qwen 1.5B qkv": (2048, 1536),
    "Qwen 1.5B down": (1536, 8960),
    "Qwen 7B qkv": (4608, 3584),
    "Qwen 7B down": (3584, 18_944),
}
COLD_BYTES = 400e6
BF16 = torch.bfloat16


@dataclass
class Line:
    name: str
    calls: list[Callable[[], Any]]
    amount: float
    """Bytes read or operations done by one call."""
    unit: str = "GB/s"


def microseconds(calls: list[Callable[[], Any]], replays: int = 10) -> float:
    """Of one call, all of them recorded into one graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        calls[0]()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    graph.replay()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(replays):
        graph.replay()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) * 1000 / replays / len(calls)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, device="cuda", dtype=BF16)


def matrix(wide: int, deep: int) -> torch.Tensor:
    return noise(wide, deep) * deep**-0.5


def int8(wide: int, deep: int) -> tuple[Any, ...]:
    weight = torch.randint(-127, 128, (wide, deep), device="cuda", dtype=torch.int8)
    return weight, torch.rand(wide, device="cuda") * 1e-4


def four_bits(wide: int, deep: int) -> tuple[Any, ...]:
    packed, absmax, code = nf4(wide, deep, "cuda")
    return packed, absmax * deep**-0.5, code, (wide, deep)


def products() -> Iterator[Line]:
    for name, (wide, deep) in SHAPES.items():
        size = 2.0 * wide * deep
        weights = [matrix(wide, deep) for _ in range(max(2, int(COLD_BYTES / size)))]
        for rows in (1, 2, 8, 16, 64):
            x = noise(rows, deep)
            plain = [lambda w=w, x=x: functional.linear(x, w) for w in weights]
            yield Line(f"{name}, {rows} rows, cuBLAS", plain, size)
            if ops.kernel_of("linear", x, weights[0]) is not None:
                own = [lambda w=w, x=x: ops.linear(x, w) for w in weights]
                yield Line(f"{name}, {rows} rows", own, size)


def quantized() -> Iterator[Line]:
    for name, (wide, deep) in list(SHAPES.items())[:4]:
        count = max(4, int(2 * COLD_BYTES / wide / deep))
        bytes8, bytes4 = 1.0 * wide * deep, wide * deep * (0.5 + 4 / 64)
        eights = [int8(wide, deep) for _ in range(count)]
        fours = [four_bits(wide, deep) for _ in range(count)]
        for rows in (1, 2, 4, 8, 32):
            x = noise(rows, deep)
            calls = [lambda w=w, x=x: ops.linear_int8(x, *w) for w in eights]
            yield Line(f"{name}, {rows} rows, int8", calls, bytes8)
            calls = [lambda w=w, x=x: ops.linear_nf4(x, *w) for w in fours]
            yield Line(f"{name}, {rows} rows, NF4", calls, bytes4)


def recorded(rows: int, context: int, pages: int) -> StepBatch:
    """A pass of writing rows with the page table of 4096 tokens, as recorded graphs have."""
    batch = a_pass([(context, 1)] * rows, pages, "cuda")
    batch.page_table = functional.pad(batch.page_table, (0, 256 - batch.page_table.shape[1]))
    return batch


def caches(batch_pages: int, kv_heads: int, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [
        (noise(batch_pages, PAGE, kv_heads, WIDTH), noise(batch_pages, PAGE, kv_heads, WIDTH))
        for _ in range(count)
    ]


def attentions() -> Iterator[Line]:
    for heads, kv_heads, rows, context in (
        (32, 32, 1, 200), (32, 32, 8, 200), (32, 32, 64, 200), (32, 32, 64, 1000),
        (32, 32, 1, 4000), (28, 4, 64, 300), (12, 2, 64, 200),
    ):  # fmt: skip
        pages = 1 + rows * -(-context // PAGE)
        batch, q = recorded(rows, context, pages), noise(rows, heads, WIDTH)
        pools = caches(pages, kv_heads, max(2, min(12, int(1e9 / pages / kv_heads / 8192))))
        calls = [lambda p=p, q=q, b=batch: ops.paged_attention(q, *p, b, 0.09) for p in pools]
        size = rows * context * kv_heads * WIDTH * 4.0
        yield Line(f"decode {heads}/{kv_heads} heads, {rows} x {context}", calls, size)
    for heads, kv_heads, rows, new in (
        (32, 32, 1, 128), (32, 32, 8, 512), (32, 32, 1, 4096), (28, 4, 16, 128), (28, 4, 1, 4096),
    ):  # fmt: skip
        pages = 1 + rows * new // PAGE
        batch, q = a_pass([(new, new)] * rows, pages, "cuda"), noise(rows * new, heads, WIDTH)
        pool = caches(pages, kv_heads, 1)[0]
        work = 2.0 * rows * new * new * heads * WIDTH
        name = f"prompts {heads}/{kv_heads} heads, {rows} x {new}"
        calls = [lambda q=q, p=pool, b=batch: ops.paged_attention(q, *p, b, 0.09)] * 4
        yield Line(name, calls, work, "GFLOP/s")
        dense = noise(rows, heads, new, WIDTH)
        flash = [lambda d=dense: functional.scaled_dot_product_attention(d, d, d, is_causal=True)]
        yield Line(f"{name}, torch, dense, all heads", flash * 4, work, "GFLOP/s")


def small() -> Iterator[Line]:
    for rows in (1, 64):
        x, weight = noise(rows, HIDDEN), noise(HIDDEN)
        batch = recorded(rows, 200, 1 + 13 * rows)
        pool = caches(1 + 13 * rows, HEADS, 1)[0]
        qkv, gate_up = noise(rows, 3 * HIDDEN), noise(rows, 2 * INNER)
        angles = torch.randn(4096, WIDTH, device="cuda")
        args = (qkv, angles, batch.positions, batch.slots, *pool, HEADS, HEADS)
        steps: dict[str, Callable[[], Any]] = {
            "norm": lambda x=x, w=weight: ops.add_rms_norm(x, x, w, 1e-6),
            "rotate and store": lambda a=args: ops.rope_and_store(*a),
            "gated unit": lambda g=gate_up: ops.silu_mul(g),
        }
        for name, call in steps.items():
            yield Line(f"{name}, {rows} rows", [call] * 20, 0.0)


def step(kind: str, rows: int, context: int) -> Callable[[], torch.Tensor]:
    """One decode pass of a 7B model with weights of `kind`."""
    pages = 1 + rows * -(-context // PAGE)
    batch, pools = recorded(rows, context, pages), caches(pages, HEADS, LAYERS)
    make = {"bf16": lambda n, k: (matrix(n, k),), "int8": int8, "NF4": four_bits}[kind]
    names = {"bf16": ops.linear, "int8": ops.linear_int8, "NF4": ops.linear_nf4}
    layers = [[make(n, k) for n, k in list(SHAPES.values())[:4]] for _ in range(LAYERS)]
    head, gain, product = matrix(WORDS, HIDDEN), torch.ones_like(noise(HIDDEN)), names[kind]
    angles = torch.randn(4096, WIDTH, device="cuda")
    table, ids = noise(1000, HIDDEN), torch.arange(rows, device="cuda")

    def run() -> torch.Tensor:
        residual = functional.embedding(ids, table)
        x = ops.rms_norm(residual, gain, 1e-6)
        for (qkv, out, gate_up, down), pool in zip(layers, pools, strict=True):
            q = ops.rope_and_store(
                product(x, *qkv), angles, batch.positions, batch.slots, *pool, HEADS, HEADS
            )
            attended = ops.paged_attention(q, *pool, batch, 0.09)
            x, residual = ops.add_rms_norm(product(attended, *out), residual, gain, 1e-6)
            made = product(ops.silu_mul(product(x, *gate_up)), *down)
            x, residual = ops.add_rms_norm(made, residual, gain, 1e-6)
        return ops.linear(x, head)

    return run


def show(lines: Iterator[Line]) -> None:
    for line in lines:
        took = microseconds(line.calls)
        speed = f"{line.amount / took / 1e3:9.0f} {line.unit}" if line.amount else ""
        print(f"{line.name:58} {took:9.2f} us {speed}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step-only", action="store_true", help="only whole steps")
    only = parser.parse_args().step_only
    torch.manual_seed(0)
    print(torch.cuda.get_device_name(), torch.__version__, flush=True)
    for group in () if only else (small, products, quantized, attentions):
        show(group())
        torch.cuda.empty_cache()
    for kind, rows, context in (
        ("bf16", 1, 200), ("bf16", 1, 2000), ("bf16", 2, 200), ("bf16", 8, 200), ("bf16", 64, 200),
        ("int8", 1, 200), ("int8", 8, 200), ("NF4", 1, 200), ("NF4", 8, 200), ("NF4", 32, 200),
    ):  # fmt: skip
        took = microseconds([step(kind, rows, context)])
        name = f"a step of {kind}, {rows} rows of {context} tokens"
        print(f"{name:58} {took:9.2f} us {rows * 1e6 / took:9.0f} tok/s", flush=True)
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
