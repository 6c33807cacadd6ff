"""Real run folders, written by the real writer, for pages to read."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable

from core import atomic_io
from core.config.train import TrainSpec
from core.paths import Home
from core.protocol.events import (
    AlarmRaised,
    CheckpointSaved,
    EvalDone,
    Event,
    PhaseChanged,
    RunFinished,
    RunStarted,
    SampleGenerated,
    TrainPlanned,
    TrainStep,
)
from core.runlog.run_dir import RunDir
from core.runlog.writer import EventWriter
from core.services.documents import run_document
from core.supervisor.identity import ProcessIdentity


def step(i: int, **more: float) -> TrainStep:
    values = {
        "loss": 1.0 + 2.0 / i,
        "grad_norm": 0.5,
        "learning_rate": 3e-5,
        "epoch": i / 100,
        "step_time_s": 0.5,
        "tokens_per_second": 1000.0,
        "memory_gib": 2.0,
    }
    return TrainStep(step=i, **{**values, **more})


def begun(total: int = 300) -> list[Event]:
    return [
        RunStarted(job="train", pid=os.getpid()),
        TrainPlanned(
            total_steps=total, train_samples=1200, epochs=3.0, memory_limit_gib=8.0, device="cpu"
        ),
        PhaseChanged(phase="training"),
    ]


def usual(steps: int = 200, total: int = 300) -> list[Event]:
    """A run with everything in it: evaluations, a checkpoint, an alarm, a diverged step."""
    events: list[Event] = begun(total)
    events.append(SampleGenerated(step=0, prompt="What is DNS?", answer="a name"))
    events.append(EvalDone(step=0, split="accuracy", loss=3.5, samples=10))
    for i in range(1, steps + 1):
        events.append(step(i, loss=math.nan) if i == 50 else step(i))
        if i == 50:
            events.append(
                AlarmRaised(alarm="non_finite", severity="error", step=50, value=math.nan)
            )
        if i % 100 == 0:
            events.append(CheckpointSaved(step=i, path=f"checkpoints/step-{i:06d}"))
            events.append(EvalDone(step=i, split="accuracy", loss=1.5, samples=10, duration_s=1))
    return events


def ended(outcome: str = "completed", step: int = 200) -> list[Event]:
    return [
        SampleGenerated(step=step, prompt="What is DNS?", answer="The Domain Name System."),
        RunFinished(outcome=outcome, reason=outcome),
    ]


def write_run(
    home: Home, events: Iterable[Event], run_id: str = "20261123-120000-train-law-0001",
    name: str = "law", *, alive: bool = False, adapter: bool = False, created_utc: float = 1e9,
) -> RunDir:  # fmt: skip
    spec = TrainSpec(model="/models/starter", data="/data/law")
    document = run_document("train", spec, name=name)
    document |= {"dataset": "law", "created_utc": created_utc}
    run = RunDir.create(home.runs, run_id, document)
    append(run, events)
    if alive:  # this very process stands for the worker: it lives as long as the test
        atomic_io.write_json(run.process_json, ProcessIdentity.of(os.getpid()).as_document())
        run.heartbeat.touch()
    if adapter:
        run.adapter.mkdir()
    return run


def append(run: RunDir, events: Iterable[Event]) -> None:
    with EventWriter(run.events, run.run_id) as writer:
        for event in events:
            writer.write(event)
