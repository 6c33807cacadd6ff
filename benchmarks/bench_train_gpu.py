"""Training step on one card: DeepDeck beside plain PEFT and Liger, all in one run.

    python benchmarks/bench_train_gpu.py [--cases lora,checkpointing,...] [--sides deepdeck,plain]
        [--json results.json] [--profile folder]

The model has DeepSeek-LLM-7B's shape with random bf16 weights. Every side learns from the same
random token rows: forward, backward, clipping, fused AdamW, the loss read by the host each step.
A side's step time is the median after two steps of warm-up; its memory the allocator's peak.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState

from benchmarks.train_models import (
    ALL,
    TWO,
    deepseek_7b,
    multiplied_parameters,
    quantize_,
    r1_distill_1_5b,
    with_adapter,
)
from core.config.train import TrainSpec
from workers.train import attention
from workers.train.batches import make_window
from workers.train.device import Place
from workers.train.encoding import Encoded
from workers.train.objective import Objective
from workers.train.optimizers import make_optimizer
from workers.train.speed import speed_up
from workers.train.stepper import Stepper

WARM_UP, STEPS = 3, 7
GIB = 2**30


@dataclass(frozen=True)
class Case:
    title: str
    targets: tuple[str, ...]
    seq_len: int
    batch: int
    checkpointing: str = "off"
    """As the spec's `gradient_checkpointing`."""
    nf4: bool = False
    model: Callable[[], Any] = deepseek_7b

    @property
    def tokens(self) -> int:
        return self.seq_len * self.batch


CASES = {
    "lora": Case("LoRA q,v, seq 2048, batch 4", TWO, 2048, 4),
    "checkpointing": Case("LoRA q,v, seq 2048, batch 8, checkpointing", TWO, 2048, 8, "full"),
    "selective": Case(
        "LoRA q,v, seq 2048, batch 4, selective checkpointing", TWO, 2048, 4, "selective"
    ),
    "all-linear": Case("LoRA all linear, seq 4096, batch 2", ALL, 4096, 2),
    "qlora": Case(
        "QLoRA NF4 all linear, seq 2048, batch 4, checkpointing", ALL, 2048, 4, "full", True
    ),
    "small": Case(
        "R1-Distill-Qwen-1.5B, LoRA all linear, seq 2048, batch 4",
        ALL,
        2048,
        4,
        model=r1_distill_1_5b,
    ),
}
SIDES = ("deepdeck", "plain", "liger", "liger compiled", "liger bf16 adapters")
_EVERY = set(CASES) - {"selective"}  # which the others do not have
ONLY = {
    "deepdeck": set(CASES),
    "plain": _EVERY,
    "liger": _EVERY,
    "liger compiled": {"lora"},  # slow to start, and helps this case only
    "liger bf16 adapters": {"all-linear"},
}


@dataclass
class Result:
    case: str
    side: str
    tokens_per_second: float
    step_ms: float
    peak_gib: float
    mfu: float
    loss: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--profile", type=Path)
    args = parser.parse_args()
    peak = matmul_peak()
    print(f"matmul peak here: {peak / 1e12:.0f} TFLOP/s", flush=True)
    results: list[Result] = []
    # Liger patches transformers for the whole process: it comes last.
    for side in sorted(args.sides.split(","), key=SIDES_ORDER.index):
        for name in args.cases.split(","):
            if name in ONLY[side]:
                results += attempt(CASES[name], side, peak, args.profile)
    print(table(results, peak))
    if args.json:
        document = {
            "peak_flops": peak,
            "card": torch.cuda.get_device_name(),
            "torch": torch.__version__,
        }
        args.json.write_text(json.dumps(document | {"results": [asdict(r) for r in results]}))


SIDES_ORDER = ["deepdeck", "plain", "liger", "liger bf16 adapters", "liger compiled"]


def attempt(case: Case, side: str, peak: float, profile: Path | None) -> list[Result]:
    try:
        result = measure(case, side, peak, profile)
        print(f"{side:20s} {case.title:55s} {result.tokens_per_second:8,.0f} tok/s "
              f"{result.peak_gib:6.1f} GiB  MFU {result.mfu:.1%}  {result.step_ms:.0f} ms "
              f"loss {result.loss:.4f}", flush=True)  # fmt: skip
        return [result]
    except Exception as e:  # noqa: BLE001 - one side's failure must not hide the others' figures
        print(f"{side:20s} {case.title:55s} failed: {type(e).__name__}: {str(e)[:300]}", flush=True)
        traceback.print_exc()
        return []
    finally:
        gc.collect()
        torch.cuda.empty_cache()
        AcceleratorState._reset_state(reset_partial_state=True)


def measure(case: Case, side: str, peak: float, profile: Path | None) -> Result:
    torch.manual_seed(0)
    model = case.model()
    multiplied = multiplied_parameters(model)
    if case.nf4:
        quantize_(model)
        gc.collect()
        torch.cuda.empty_cache()
    ids = torch.randint(0, 102_400, (case.batch, case.seq_len))
    step = _BUILDERS[side](model, case, ids)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    times, loss = [], 0.0
    for i in range(WARM_UP + STEPS):
        begun = time.perf_counter()
        loss = step()
        torch.cuda.synchronize()
        if i >= WARM_UP:
            times.append(time.perf_counter() - begun)
    used = torch.cuda.max_memory_allocated() / GIB
    if profile:
        _profile(
            step,
            profile
            / f"{side.replace(' ', '-')}-{case.seq_len}-{case.batch}-{len(case.targets)}.txt",
        )
    seconds = statistics.median(times)
    config = model.config
    width = config.num_attention_heads * getattr(config, "head_dim", 128)
    flops = 4 * multiplied + 6 * config.num_hidden_layers * case.seq_len * width
    speed = case.tokens / seconds
    return Result(case.title, side, speed, seconds * 1e3, used, speed * flops / peak, loss)


def _plain(model: Any, case: Case, ids: Any) -> Callable[[], float]:
    peft_model = with_adapter(model, case.targets)
    if case.checkpointing == "full":
        peft_model.enable_input_require_grads()
        peft_model.gradient_checkpointing_enable({"use_reentrant": False})
    return _loop(peft_model, ids)


def _liger(model: Any, case: Case, ids: Any) -> Callable[[], float]:
    from workers.train.fast.liger import apply_liger

    apply_liger(model, fused_loss=True)
    return _plain(model, case, ids)


def _liger_bf16(model: Any, case: Case, ids: Any) -> Callable[[], float]:
    step = _liger(model, case, ids)
    for p in model.parameters():
        if p.requires_grad:
            p.data = p.data.bfloat16()
    return step


def _liger_compiled(model: Any, case: Case, ids: Any) -> Callable[[], float]:
    step = _liger(model, case, ids)
    for layer in model.model.layers:
        layer.compile()
    return step


def _loop(model: Any, ids: Any) -> Callable[[], float]:
    """What a plain script does: autocast, the model's own loss, clipping, fused AdamW."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    device_ids = ids.cuda()

    def step() -> float:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = model(input_ids=device_ids, labels=device_ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step


def _deepdeck(model: Any, case: Case, ids: Any) -> Callable[[], float]:
    rows = [Encoded(row.numpy().astype("int32"), np.ones(case.seq_len, np.bool_)) for row in ids]
    window = make_window(rows, case.batch, 0)
    stepper = worker_stepper(model, case.targets, case.checkpointing)

    def step() -> float:
        numbers = stepper.step(window, 1e-5)
        assert numbers is not None
        return numbers.loss

    return step


def worker_stepper(model: Any, targets: tuple[str, ...], checkpointing: str) -> Stepper:
    """The worker's own parts, put together as `workers.train.prepare` does."""
    place = Place("cuda", "bf16")
    spec = TrainSpec.parse({"model": "m", "data": "d", "gradient_checkpointing": checkpointing})
    attention.install(model)
    peft_model = with_adapter(model, targets)
    for note in speed_up(peft_model, spec, place):
        print("note:", note)
    accelerator = place.accelerator()
    optimizer = make_optimizer(peft_model, spec, place)
    prepared, prepared_optimizer = accelerator.prepare(peft_model, optimizer)
    objective = Objective(prepared, forward_of=model)
    assert not objective.why_plain, objective.why_plain
    return Stepper(accelerator, prepared, prepared_optimizer, objective, 1.0)


_BUILDERS: dict[str, Callable[[Any, Case, Any], Callable[[], float]]] = {
    "deepdeck": _deepdeck,
    "plain": _plain,
    "liger": _liger,
    "liger bf16 adapters": _liger_bf16,
    "liger compiled": _liger_compiled,
}


def matmul_peak() -> float:
    """FLOP/s of a large bf16 product of random matrices."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(10):
        a @ b
    end.record()
    torch.cuda.synchronize()
    return 10 * 2 * 8192**3 / (begin.elapsed_time(end) / 1e3)


def _profile(step: Callable[[], float], path: Path) -> None:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as seen:
        step()
        torch.cuda.synchronize()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        seen.key_averages().table(
            sort_by="self_cuda_time_total", row_limit=60, max_name_column_width=90
        )
    )


def table(results: list[Result], peak: float) -> str:
    lines = ["", "| what | side | tokens/s | peak GiB | MFU |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {r.case} | {r.side} | {r.tokens_per_second:,.0f} | {r.peak_gib:.1f} | {r.mfu:.1%} |"
        for r in sorted(results, key=lambda r: r.case)
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
