"""How well the alarms find runs that go wrong, and what a rollback saves.

    OMP_NUM_THREADS=1 nice -n 10 .venv/bin/python benchmarks/bench_divergence.py [--quick]

1. 96 real small runs (10 kinds of fault) and 100 clean ones: recall, precision, delay, rollbacks.
2. Made-up curves with heavier tails, 8 kinds.
3. The same runs under the guard: nats behind the clean run of the same seed.

All seeds are other ones than the thresholds were tuned on (`--tuning` runs those). 12 minutes on a
quiet core; `--quick` takes a few of each in about one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from divergence_curves import EXPECTED, curves
from divergence_recovery import Recovery, recover
from divergence_score import DIVERGENCE, Row, count, new_rows, replay, table, went_wrong
from divergence_toy import KINDS, WARMUP_SHARE, ToySpec, record, specs_of_96

from core.divergence import DetectorSettings

TUNING_SEED = 1_000
FRESH_SEED = 50_000
RECOVERABLE = ("lr_x100", "lr_x25", "weight_noise", "nan_gradient")
RECOVERY_STEPS = 320
CLOSE_NATS = 0.1


def toy_rows(specs: Iterable[ToySpec]) -> dict[str, Row]:
    """Train each, unguarded, and judge its alarms."""
    rows = new_rows()
    for spec in specs:
        curve = record(spec)
        settings = DetectorSettings(warmup_steps=int(WARMUP_SHARE * spec.steps), vocabulary=64)
        alarms = replay(curve["loss"], curve["grad_norm"], curve["target_tokens"], settings)
        faulty = went_wrong(curve["loss"], spec.fault_at)
        count(rows[spec.kind], alarms, spec.fault_at, faulty, DIVERGENCE)
    return rows


def curve_rows(first_seed: int, each: int) -> dict[str, Row]:
    """Judge made-up curves."""
    rows = new_rows()
    for curve in curves(first_seed, each):
        settings = DetectorSettings(warmup_steps=len(curve.loss) // 10)
        alarms = replay(curve.loss, curve.grad_norm, curve.target_tokens, settings)
        wanted = EXPECTED.get(curve.kind, frozenset())
        count(rows[curve.kind], alarms, curve.fault_at, bool(wanted), wanted)
    return rows


def recoveries(first_seed: int, each: int) -> Iterator[Recovery]:
    """Each recoverable kind under the guard, the same seeds for all."""
    for i in range(each):
        for kind in RECOVERABLE:
            yield recover(ToySpec(kind, first_seed + i, RECOVERY_STEPS))


def recovery_table(done: list[Recovery]) -> str:
    """Worst and median by kind, and how many came close."""
    lines = [
        "| kind | runs | loss without | loss guarded | clean | rollbacks | within 0.1 nats |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind in RECOVERABLE:
        of_kind = [r for r in done if r.kind == kind]
        near = sum(r.gap <= CLOSE_NATS for r in of_kind)
        cells = (
            kind.replace("_", " "),
            len(of_kind),
            _range([r.without for r in of_kind]),
            _range([r.guarded for r in of_kind]),
            _range([r.clean for r in of_kind]),
            _range([r.rollbacks for r in of_kind]),
            near,
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    near = sum(r.gap <= CLOSE_NATS for r in done)
    lines += ["", f"{near} of {len(done)} = {near / len(done):.2f} within {CLOSE_NATS} nats"]
    lines += [f"not close: {r}" for r in done if r.gap > CLOSE_NATS]
    return "\n".join(lines)


def _range(values: list[float] | list[int]) -> str:
    def shown(value: float) -> str:
        return str(value) if isinstance(value, int) else f"{value:.2f}"

    low, high = min(values), max(values)
    return shown(low) if shown(low) == shown(high) else f"{shown(low)} to {shown(high)}"


def main() -> None:
    """Print the three tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tuning", action="store_true", help="the seeds of the thresholds")
    parser.add_argument("--parts", default="toys,clean,curves,recovery")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    seed = TUNING_SEED if chosen.tuning else FRESH_SEED
    parts = {
        "toys": lambda: table(toy_rows(_thinned(specs_of_96(seed), chosen.quick))),
        "clean": lambda: table(toy_rows(_clean(seed, 5 if chosen.quick else 100))),
        "curves": lambda: table(curve_rows(seed, 3 if chosen.quick else 25)),
        "recovery": lambda: recovery_table(
            list(recoveries(seed + 40_000, 1 if chosen.quick else 8))
        ),
    }
    for name in chosen.parts.split(","):
        begun = time.monotonic()
        print(f"\n## {name} (first seed {seed})\n\n{parts[name]()}")
        print(f"\n{time.monotonic() - begun:.0f} s", flush=True)


def _clean(seed: int, runs: int) -> list[ToySpec]:
    return [ToySpec("clean", seed + 1_000 + i) for i in range(runs)]


def _thinned(specs: Iterable[ToySpec], quick: bool) -> list[ToySpec]:
    """With `quick` one run of each kind."""
    first = {spec.kind: spec for spec in reversed(list(specs))} if quick else {}
    return [first[k] for k in KINDS] if quick else list(specs)


if __name__ == "__main__":
    main()
