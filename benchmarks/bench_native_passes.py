"""Times single passes of the native engine on a card: real shapes, random weights, no server.

`python benchmarks/bench_native_passes.py --json out.json` prints a line a measurement. Decode
passes are recorded and replayed, prompts are computed; sampling and HTTP are not in it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from serve_models import config_of  # noqa: E402

from workers.serve.native.batch import StepBatch  # noqa: E402
from workers.serve.native.constants import PAGE_TOKENS  # noqa: E402
from workers.serve.native.models import take_over  # noqa: E402
from workers.serve.native.pool import KvPool  # noqa: E402
from workers.serve.native.runner import Runner  # noqa: E402

_POSITIONS = 4096
_REPEATS = 30
_PROMPTS = ((1, 128), (4, 128), (16, 128), (64, 128), (4, 512))
_BESIDE = (8, 24, 63)
_CASES = {
    "deepseek-llm-7b": {"bf16": (1, 8, 16, 32, 64, 128), "4bit": (1, 8, 32), "8bit": (1, 8, 32)},
    "r1-distill-qwen-1.5b": {"bf16": (1, 8, 16, 24, 32, 64)},
    "r1-distill-qwen-7b": {"bf16": (1, 16, 32, 64)},
    "deepseek-v2-lite": {"bf16": (1, 8, 32, 64)},
}


def random_model(shape: str, precision: str) -> Any:
    """On the card, quantized by bitsandbytes where asked."""
    from transformers import AutoModelForCausalLM

    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config_of(shape), dtype=torch.bfloat16)
    if precision in ("4bit", "8bit"):
        for layer in model.model.layers:
            for parent in (layer.self_attn, layer.mlp):
                for name, module in list(parent.named_children()):
                    if isinstance(module, torch.nn.Linear):
                        setattr(parent, name, _quantized(module, precision))
    return model.eval().requires_grad_(False)


def _quantized(module: torch.nn.Linear, precision: str) -> torch.nn.Module:
    import bitsandbytes as bnb

    sizes = module.in_features, module.out_features, module.bias is not None
    if precision == "8bit":
        made = bnb.nn.Linear8bitLt(*sizes, has_fp16_weights=False)
        made.weight = bnb.nn.Int8Params(module.weight.data.cpu(), requires_grad=False)
    else:
        made = bnb.nn.Linear4bit(*sizes, compute_dtype=torch.bfloat16, quant_type="nf4")
        made.weight = bnb.nn.Params4bit(module.weight.data, quant_type="nf4")
    made.bias = module.bias
    return made.to("cuda")


def invented(pool: KvPool, rows: int, new: int, start: int) -> StepBatch:
    """`new` tokens for each of `rows` rows that have `start` tokens in the cache."""
    pages = -(-(start + new) // PAGE_TOKENS)
    table = 1 + torch.arange(rows * pages, device="cuda").view(rows, pages)
    at = torch.arange(start, start + new, device="cuda")
    slots = table[:, at // PAGE_TOKENS] * PAGE_TOKENS + at % PAGE_TOKENS
    starts = torch.arange(rows + 1, device="cuda", dtype=torch.int32) * new
    return StepBatch(
        input_ids=torch.randint(3, 30_000, (rows * new,), device="cuda"),
        positions=at.repeat(rows),
        slots=slots.flatten(),
        page_table=table.int().contiguous(),
        context_lens=torch.full((rows,), start + new, device="cuda", dtype=torch.int32),
        query_starts=starts,
        logits_at=starts[1:].long() - 1,
        adapters=None,
        max_query=new,
        max_context=start + new,
    )


def mixed(pool: KvPool, writing: int, new: int, start: int) -> StepBatch:
    """One prompt of `new` tokens beside `writing` rows that have `start` tokens in the cache."""
    prompt, rows = invented(pool, 1, new, 0), invented(pool, writing + 1, 1, start)
    starts = torch.tensor([0, *range(new, new + writing + 1)], device="cuda", dtype=torch.int32)
    width = rows.page_table.shape[1]
    table = torch.nn.functional.pad(prompt.page_table, (0, width - prompt.page_table.shape[1]))
    return StepBatch(
        input_ids=torch.cat((prompt.input_ids, rows.input_ids[1:])),
        positions=torch.cat((prompt.positions, rows.positions[1:])),
        slots=torch.cat((prompt.slots, rows.slots[1:])),
        page_table=torch.cat((table, rows.page_table[1:])),
        context_lens=torch.cat((prompt.context_lens, rows.context_lens[1:])),
        query_starts=starts,
        logits_at=starts[1:].long() - 1,
        adapters=None,
        max_query=new,
        max_context=start + 1,
    )


def median_ms(call: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Of single calls, timed by the card."""
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def profile(call: Callable[[], object], passes: int = 5) -> list[str]:
    """Where the card's time goes: microseconds a pass and calls by kernel."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    with profiler(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as found:
        for _ in range(passes):
            call()
        torch.cuda.synchronize()
    events = [e for e in found.key_averages() if e.self_device_time_total > 0]
    events.sort(key=lambda e: -e.self_device_time_total)
    return [
        f"    {e.self_device_time_total / passes:9.1f} us {e.count / passes:6.1f} x {e.key[:90]}"
        for e in events[:12]
    ]


def measure(shape: str, precision: str, rows: tuple[int, ...], *, profiled: bool) -> list[dict]:
    """All passes of one model."""
    began = time.monotonic()
    model = random_model(shape, precision)
    native = take_over(model, _POSITIONS)
    gib = torch.cuda.memory_allocated() / 1024**3
    pool = KvPool(native.kv_layout, max(rows) * 20 + 1024, "cuda")
    runner = Runner(native, pool, positions=_POSITIONS)
    results: list[dict[str, Any]] = []

    def note(**facts: Any) -> None:
        results.append({"shape": shape, "precision": precision, **facts})
        print("  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}"
                        for k, v in results[-1].items()), flush=True)  # fmt: skip

    note(event="loaded", weights_gib=gib, seconds=time.monotonic() - began)
    began = time.monotonic()
    runner.capture(max(rows), lambda *_: None, max_tokens=2048 + max(rows))
    assert runner.graphs is not None
    note(event="recorded", passes=len(runner.graphs.recorded), reason=runner.graphs.reason,
         seconds=time.monotonic() - began)  # fmt: skip
    for count in rows:
        batch = invented(pool, count, 1, 192)
        ms = median_ms(lambda b=batch: runner.forward(b))
        note(event="decode", rows=count, ms=ms, tokens_per_second=count / ms * 1000)
        if profiled and count in (rows[0], 64, 24):
            print("\n".join(profile(lambda b=batch: runner.forward(b))), flush=True)
    for count, new in _PROMPTS if precision == "bf16" else _PROMPTS[:1]:
        batch = invented(pool, count, new, 0)
        ms = median_ms(lambda b=batch: runner.forward(b), 8)
        note(event="prompts", rows=count, new=new, ms=ms,
             tokens_per_second=count * new / ms * 1000)  # fmt: skip
        if profiled and (count, new) == (1, 128):
            print("\n".join(profile(lambda b=batch: runner.forward(b))), flush=True)
    for writing in _BESIDE if precision == "bf16" else ():
        batch = mixed(pool, writing, 128, 192)
        ms = median_ms(lambda b=batch: runner.forward(b))
        note(event="mixed", writing=writing, reading=128, ms=ms,
             tokens_per_second=writing / ms * 1000)  # fmt: skip
    return results


def main() -> None:
    """Measure what was asked for; one model that fails does not stop the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", default=[], help="shape:precision")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    results = []
    for shape, precisions in _CASES.items():
        for precision, rows in precisions.items():
            if options.only and f"{shape}:{precision}" not in options.only:
                continue
            try:
                results += measure(shape, precision, rows, profiled=options.profile)
            except Exception as e:  # noqa: BLE001 - the table says so, and goes on
                print(f"{shape} {precision}: {type(e).__name__}: {e}", file=sys.stderr, flush=True)
            torch.cuda.empty_cache()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
