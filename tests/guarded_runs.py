"""A small model that knows a small language, and ways to make its fine-tuning go wrong.

Divergence needs something to lose: a model that was trained. It learns, in seconds, sentences in
which each word has one usual successor (9 times of 10), so a good model's loss is known and low.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.protocol.commands import Command
from core.protocol.events import Event
from core.runlog.run_dir import RunDir
from tests.train_runs import make_run, run_here, tiny_model
from workers.train.trainer import Trainer

WORDS = ["one", "two", "six", "ten", "red", "blue", "cat", "dog", "sun", "moon", "sea", "sky"]
SUCCESSOR = (5, 3, 7, 9, 8, 11, 1, 2, 6, 10, 4, 0)
USUAL = 0.9

Deed = Callable[[Trainer, RunDir], None]


def sentence(rng: np.random.Generator, words: int = 10) -> str:
    """Words that follow each other as they usually do."""
    at, out = int(rng.integers(len(WORDS))), []
    for _ in range(words):
        out.append(WORDS[at])
        at = SUCCESSOR[at] if rng.random() < USUAL else int(rng.integers(len(WORDS)))
    return " ".join(out)


def write_sentences(path: Path, count: int = 240, seed: int = 1) -> Path:
    """Training samples in that language."""
    rng = np.random.default_rng(seed)
    rows = ({"prompt": f"Go {i % 7}", "completion": sentence(rng)} for i in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def write_noise_to_learn(folder: Path) -> Path:
    """A dataset to over-fit on: learning its few senseless sentences costs the language."""
    (folder / "train").mkdir(parents=True)
    (folder / "eval").mkdir()
    write_sentences(folder / "eval" / "d.jsonl", 12)
    rng = np.random.default_rng(5)
    rows = ({"prompt": "Go 1", "completion": " ".join(rng.choice(WORDS, 10))} for _ in range(16))
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "train" / "d.jsonl").write_text(text, "utf-8")
    return folder


def taught_model(folder: Path, steps: int = 220) -> Path:
    """A tiny llama that has learned the language."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tiny_model(folder)
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        texts = [f"User: Go {i % 7}\n\nAssistant: {sentence(rng)}" for i in range(16)]
        ids = tokenizer(texts, return_tensors="pt", padding=True).input_ids
        labels = ids.masked_fill(ids == tokenizer.pad_token_id, -100)
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


def guarded_run(runs: Path, shared: Path, **values: Any) -> RunDir:
    """A run that is quick to show trouble."""
    return make_run(
        runs,
        shared / "model",
        values.pop("data", shared / "data.jsonl"),
        **{
            "steps": 120,
            "batch_size": 8,
            "gradient_accumulation_steps": 1,
            "learning_rate": 3e-3,
            "lr_scheduler_type": "constant",
            "warmup_ratio": 0.05,
            "guard": "rollback",
            "rollback": {"snapshot_steps": 10},
            **values,
        },
    )


def run_with(run: RunDir, monkeypatch: pytest.MonkeyPatch, deeds: dict[int, Deed]) -> list[Event]:
    """Run it here; each deed is done once, when its step was made."""
    left, original = dict(deeds), Trainer._between_steps

    def between(trainer: Trainer) -> None:
        deed = left.pop(trainer._state.step, None)
        if deed:
            deed(trainer, run)
        original(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_between_steps", between)
        return run_here(run)


def sends(command: Command) -> Deed:
    """What a face does: a line in `control.jsonl`."""

    def send(_: Trainer, run: RunDir) -> None:
        line = command.model_copy(update={"kind": type(command).KIND}).model_dump_json()
        with run.control.open("a", encoding="utf-8") as f:
            f.write(line + "\n")

    return send
