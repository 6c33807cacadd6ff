"""Packed rows against padded ones on one card, on the lengths of the bundled sample conversations.

    python benchmarks/bench_packing_gpu.py [--json results.json]

The model has DeepSeek-LLM-7B's shape with random bf16 weights and LoRA on q and v; every variant
runs the worker's own step with the fast kernels. Counted are real tokens, never padding. "Padded"
is what a plain collator does: samples in random order, four a micro-batch (the spec's default),
padded to the longest. "Wide" are lengths drawn from a log-normal distribution with median 200 and
sigma 1, cut at 2048: closer to collections of conversations from the web.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.bench_train_gpu import worker_stepper
from benchmarks.train_models import TWO, deepseek_7b
from workers.train.batches import MicroBatch, Window, join, make_batch
from workers.train.encoding import Encoded
from workers.train.packing import pack

ROOT = Path(__file__).resolve().parents[1]
ROW_TOKENS, ROWS = 2048, 4
SECONDS = 6.0


def bundled_lengths() -> list[int]:
    """Tokens of each bundled conversation, by the bundled model's tokenizer."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ROOT / "resources/models/deepdeck-starter")
    files = sorted((ROOT / "resources/datasets/deepdeck-sample/train").rglob("*.jsonl"))
    lines = (line for file in files for line in file.read_text("utf-8").splitlines())
    chats = (json.loads(line)["messages"] for line in lines)
    return [len(tokenizer.apply_chat_template(c, tokenize=True)["input_ids"]) for c in chats]


def wide_lengths() -> list[int]:
    drawn = np.random.default_rng(0).lognormal(np.log(200), 1.0, 4000)
    return [int(n) for n in drawn.clip(16, ROW_TOKENS)]


def samples_of(lengths: list[int]) -> list[Encoded]:
    rng = np.random.default_rng(1)
    return [
        Encoded(rng.integers(3, 102_400, n, np.int32), np.ones(n, np.bool_), samples=(i,))
        for i, n in enumerate(lengths)
    ]


def padded(samples: list[Encoded], batch: int) -> list[MicroBatch]:
    order = np.random.default_rng(2).permutation(len(samples))
    groups = (order[i : i + batch] for i in range(0, len(order) - batch + 1, batch))
    return [make_batch([samples[i] for i in group], 0) for group in groups]


def packed(samples: list[Encoded]) -> list[MicroBatch]:
    rows = [join([samples[i] for i in row]) for row in pack([len(s) for s in samples], ROW_TOKENS)]
    return [make_batch(rows[i : i + ROWS], 0) for i in range(0, len(rows) - ROWS + 1, ROWS)]


def window_of(batches: list[MicroBatch]) -> Window:
    targets = sum(int((b.targets != -100).sum()) for b in batches)
    return Window(tuple(batches), targets, targets + sum(len(set(b.owners[0])) for b in batches))


def speed(stepper: object, batches: list[MicroBatch], per_step: int) -> tuple[float, float]:
    """Target tokens a second, and how full the rows are; from whole optimizer steps."""
    windows = [window_of(batches[i : i + per_step]) for i in range(0, len(batches), per_step)]
    for window in windows[:3]:
        stepper.step(window, 1e-5)  # type: ignore[attr-defined]
    begun, tokens, places = time.perf_counter(), 0, 0
    for window in windows[3:] or windows:
        stepper.step(window, 1e-5)  # type: ignore[attr-defined]
        tokens += window.target_tokens
        places += sum(b.tokens for b in window.batches)
        if time.perf_counter() - begun > SECONDS:
            break
    return tokens / (time.perf_counter() - begun), tokens / places


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.manual_seed(0)
    stepper = worker_stepper(deepseek_7b(), TWO, "off")
    found = []
    for name, lengths in (("bundled", bundled_lengths()), ("wide", wide_lengths())):
        samples = samples_of(lengths)
        for variant, batches, per_step in (
            ("packed rows", packed(samples), 1),
            ("padded, 4 samples", padded(samples, 4), 4),
            ("padded, 16 samples", padded(samples, 16), 1),
        ):
            rate, fill = speed(stepper, batches, per_step)
            found.append({"lengths": name, "variant": variant, "tokens_per_second": rate,
                          "fill": fill})  # fmt: skip
            print(f"{name:8s} mean {np.mean(lengths):5.0f} {variant:20s} {rate:8,.0f} tok/s, "
                  f"{fill:.0%} of the places", flush=True)  # fmt: skip
        base = found[-2]["tokens_per_second"]
        print(f"{name}: packed is {found[-3]['tokens_per_second'] / base:.2f} times padded")
    if args.json:
        args.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
