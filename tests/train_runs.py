"""Makes training runs on tiny models, in this process (fast) or in real workers."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from core.config.train import TrainSpec
from core.protocol.events import Event, RunFinished
from core.runlog.run_dir import RunDir, new_run_id
from core.supervisor.worker_spec import current_python
from tests.fakes.runs import events_of
from tests.tiny_models import build_tiny

E = TypeVar("E", bound=Event)
MODULE = "workers.train"
WORDS = ("fox", "dog", "lazy", "brown", "quick", "Paris", "France", "list", "你好", "世界", "天气")


def write_data(path: Path, count: int = 23, seed: int = 0) -> Path:
    """Short conversations, deterministic, each of another length."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        answer = " ".join(rng.choice(WORDS, size=2 + i % 7))
        rows.append({"prompt": f"What is {WORDS[i % len(WORDS)]} {i}?", "completion": answer})
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, "utf-8")
    return path


def make_run(runs: Path, model: Path, data: Path, **values: Any) -> RunDir:
    """A run folder with a spec for a run of seconds."""
    spec = TrainSpec.parse(
        {
            "model": str(model),
            "data": str(data),
            "steps": 8,
            "batch_size": 2,
            "gradient_accumulation_steps": 3,
            "learning_rate": 1e-2,
            "eval_steps": 0,
            "save_steps": 0,
            "device": "cpu",
            "max_length_tokens": 64,
            **values,
        }
    )
    document = {
        "v": 1,
        "job": "train",
        "name": "a run",
        "spec": spec.model_dump(mode="json"),
        "created_utc": time.time(),
        "interpreter": str(current_python()),
        "seed": spec.seed,
    }
    return RunDir.create(runs, new_run_id("train", "tiny"), document)


def run_here(run: RunDir) -> list[Event]:
    """Run the worker's whole life in this process; a few hundred milliseconds."""
    from accelerate.state import AcceleratorState

    from workers.harness import run_worker
    from workers.train.checkpoint_files import newest_step
    from workers.train.recipe import train

    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        run_worker("train", train, find_resume_step=newest_step, argv=[str(run.path)])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        AcceleratorState._reset_state(reset_partial_state=True)
    return events_of(run)


def of(kind: type[E], events: list[Event]) -> list[E]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def last_word(events: list[Event]) -> RunFinished:
    """The last event, which must be `run.finished`."""
    assert isinstance(events[-1], RunFinished)
    return events[-1]


def tiny_model(folder: Path, arch: str = "llama", **options: Any) -> Path:
    """A model folder; built once a path."""
    return folder if folder.exists() else build_tiny(folder, arch, **options)
