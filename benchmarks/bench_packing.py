"""Packed rows against padded ones on the CPU, with real lengths of instructions.

    .venv/bin/python benchmarks/bench_packing.py [--seconds 30]

The starter model with LoRA learns from the bundled conversations in whole optimizer steps of the
worker. Counted are tokens of the data, never padding. "Padded" is what a plain collator does:
random samples, padded to the longest of four; "joined" the same samples without padding, as the
worker feeds them when packing is off; "packed" are rows of `seq_len` filled by best fit.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import cycle

import cpu_sides as sides
import numpy as np

from core.paths import STARTER_MODEL
from workers.train import model as loading
from workers.train.batches import Window, join, make_batch, make_window
from workers.train.encoding import Encoded
from workers.train.packing import pack

SEQ_LEN, BATCH, SAMPLES = 512, 4, 480
STEP_ROWS = 48
"""Samples of a step, so that all variants step equally often; 4 packed rows hold as many."""


def main() -> None:
    """Measure all variants and print them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args()
    info = loading.inspect(STARTER_MODEL)
    rows = sides.real_rows(loading.load_tokenizer(info), SAMPLES)
    ours = sides.OurSide(info, sides.spec_of(seq_len=SEQ_LEN))
    lengths = [len(row) for row in rows]
    print(f"{len(rows)} conversations, mean {np.mean(lengths):.0f} tokens, longest {max(lengths)}")
    variants = {"padded": padded(rows), "joined": joined(rows), "packed": packed(rows)}
    rates = speeds(ours, variants, args.seconds)
    for name, windows in variants.items():
        places = sum(batch.tokens for window in windows for batch in window.batches)
        full = sum(window.tokens for window in windows) / places
        print(f"{name:7s} {rates[name]:7,.0f} tok/s, {full:.0%} of the places hold a token")
    print(f"packed is {rates['packed'] / rates['padded']:.2f} times padded")


def padded(rows: list[Encoded]) -> list[Window]:
    """In the order in which they come: not even sorted inside a step."""
    return [
        Window(
            tuple(make_batch(group, 0) for group in sides.windows_of(step, BATCH)),
            sum(row.target_tokens for row in step),
            sum(map(len, step)),
        )
        for step in sides.windows_of(rows, STEP_ROWS)
    ]


def joined(rows: list[Encoded]) -> list[Window]:
    """The worker without packing."""
    return [make_window(s, BATCH, 0, flat=True) for s in sides.windows_of(rows, STEP_ROWS)]


def packed(rows: list[Encoded]) -> list[Window]:
    """The worker with packing."""
    plan = pack([len(row) for row in rows], SEQ_LEN)
    filled = [join([rows[i] for i in row]) for row in plan]
    return [make_window(s, BATCH, 0, flat=True) for s in sides.windows_of(filled, BATCH)]


def speeds(
    ours: sides.OurSide, variants: dict[str, list[Window]], seconds: float
) -> dict[str, float]:
    """Tokens of the data a second; variants take turns step by step, so that other load meets
    all. Of each the median over its steps.
    """
    endless = {name: cycle(windows) for name, windows in variants.items()}
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for windows in endless.values():
        ours.stepper.step(next(windows), 1e-5)
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        for name, windows in endless.items():
            window, at = next(windows), time.perf_counter()
            ours.stepper.step(window, 1e-5)
            rates[name].append(window.tokens / (time.perf_counter() - at))
    return {name: statistics.median(found) for name, found in rates.items()}


if __name__ == "__main__":
    main()
