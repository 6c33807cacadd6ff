"""A training step on the CPU: the worker's beside transformers' Trainer, in one run.

    .venv/bin/python benchmarks/bench_train_cpu.py [--model FOLDER] [--steps 5] [--rounds 2]

SmolLM2-135M with LoRA on all linear layers, fp32, the same conversations in the same steps on
both sides: 2 micro-batches of 4. Trainer pads each micro-batch to its longest, as its collator
does. The sides take turns, so that other load meets both; a side's figure is the median over all
its steps but the first of each turn. Counted are tokens of the data, never padding.

Fetch the model once: `deepdeck models fetch smollm2-135m-instruct`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import cpu_sides as sides
import torch

from core.catalog import ModelInfo
from core.errors import AppError
from core.paths import Home
from core.services import build
from workers.train import model as loading
from workers.train import random_state
from workers.train.batches import make_window
from workers.train.encoding import Encoded

MODEL = "smollm2-135m-instruct"
BATCH, ACCUMULATION = 4, 2


def main() -> int:
    """Print both medians and their ratio; 0 also when the model is not here."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    info = find_model(args.model)
    if info is None:
        print(f"skipped: {MODEL} is not here; fetch it with `deepdeck models fetch {MODEL}`")
        return 0
    tokenizer = loading.load_tokenizer(info)
    rows = sides.real_rows(tokenizer, (args.steps + 1) * BATCH * ACCUMULATION)
    both = {"DeepDeck": Worker(info), "Trainer": TrainerSide(info, tokenizer)}
    rates: dict[str, list[float]] = {name: [] for name in both}
    for turn in range(args.rounds):
        for name in sorted(both, reverse=bool(turn % 2)):
            rates[name] += both[name].run(rows)[1:]
    for name, found in rates.items():
        print(f"{name:8s} {statistics.median(found):7.1f} tok/s (steps: "
              f"{', '.join(f'{r:.0f}' for r in found)})")  # fmt: skip
    ratio = statistics.median(rates["DeepDeck"]) / statistics.median(rates["Trainer"])
    print(f"DeepDeck is {ratio:.2f} times Trainer, {torch.get_num_threads()} threads")
    return 0


def find_model(folder: Path | None) -> ModelInfo | None:
    """The fetched model, or the folder that was named."""
    try:
        return build(Home.default()).models.resolve(str(folder) if folder else MODEL)
    except AppError:
        return None


class Worker:
    """The worker's step loop: windows are made in it, as in a run."""

    def __init__(self, info: ModelInfo) -> None:
        self._side = sides.OurSide(info, sides.spec_of())

    def run(self, rows: list[Encoded]) -> list[float]:
        """Tokens a second of each step."""
        rates = []
        for step in sides.windows_of(rows, BATCH * ACCUMULATION):
            begun = time.perf_counter()
            window = make_window(step, BATCH, 0, flat=self._side.flat)
            self._side.stepper.step(window, 1e-5)
            rates.append(window.tokens / (time.perf_counter() - begun))
        return rates


class TrainerSide:
    """transformers' Trainer, set up as its documentation does for LoRA."""

    def __init__(self, info: ModelInfo, tokenizer: Any) -> None:
        from peft import LoraConfig, get_peft_model

        random_state.seed_all(0)
        base = loading.load_base(info, tokenizer, sides.CPU)
        base.model.is_quantized = False  # read from a GGUF file, but fp32 since; Trainer refuses
        lora = sides.spec_of().lora
        config = LoraConfig(
            r=lora.r, lora_alpha=int(lora.lora_alpha), target_modules="all-linear",
            task_type="CAUSAL_LM",
        )  # fmt: skip
        self._model = get_peft_model(base.model, config)
        self._tokenizer = tokenizer

    def run(self, rows: list[Encoded]) -> list[float]:
        """Tokens a second of each step."""
        import tempfile

        from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

        class InOrder(Trainer):  # type: ignore[misc]
            def _get_train_sampler(self, *_: Any) -> Any:
                return torch.utils.data.SequentialSampler(self.train_dataset)

        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        clock = _clock()
        windows = sides.windows_of(rows, BATCH * ACCUMULATION)
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder, per_device_train_batch_size=BATCH, learning_rate=1e-5,
                gradient_accumulation_steps=ACCUMULATION, max_steps=len(windows), use_cpu=True,
                save_strategy="no", report_to="none", disable_tqdm=True, logging_steps=1,
                optim="adamw_torch_fused", lr_scheduler_type="constant",
            )  # fmt: skip
            InOrder(
                model=self._model,
                args=arguments,
                train_dataset=[_example(row) for step in windows for row in step],
                data_collator=DataCollatorForSeq2Seq(self._tokenizer, padding=True),
                callbacks=[clock],
            ).train()
        tokens = [sum(map(len, step)) for step in windows]
        return [n / s for n, s in zip(tokens, clock.seconds, strict=True)]


def _example(row: Encoded) -> dict[str, list[int]]:
    labels = [int(t) if on else -100 for t, on in zip(row.ids, row.trained, strict=True)]
    ids = [int(t) for t in row.ids]
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}


def _clock() -> Any:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        """From the end of one step to the end of the next: fetching is in it, as on our side."""

        def __init__(self) -> None:
            self.seconds: list[float] = []
            self._last = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self._last = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            now = time.perf_counter()
            self.seconds.append(now - self._last)
            self._last = now

    return Clock()


if __name__ == "__main__":
    sys.exit(main())
