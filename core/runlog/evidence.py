"""The batch behind an alarm: which samples, what the model saw, and what it made of each.

One JSON file an alarm under `alarms/` of the run folder, written by the worker before the alarm is
said, read by the page that shows it.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core import atomic_io

FOLDER = "alarms"
MAX_SAMPLES = 64
MAX_CHARS = 8_000
"""Of one sample's text; what is cut is counted."""


class EvidencePiece(BaseModel):
    """A stretch of text as the model reads it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str = ""
    trained: bool = False


class EvidenceSample(BaseModel):
    """One training sample of the batch."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    sample: int = 0
    """Its number among the training samples: what `ExcludeCommand` takes."""
    file: str = ""
    line: int = 0
    """Where it begins in the user's file, from 1; 0 when unknown."""
    tokens: int = 0
    target_tokens: int = 0
    loss: float | None = None
    """Mean over its target tokens in nats, by the weights of that moment; may be NaN."""
    pieces: list[EvidencePiece] = []
    cut_chars: int = 0


class BatchEvidence(BaseModel):
    """What a step had learned from when an alarm was raised."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    v: int = 1
    step: int = 0
    alarm: str = ""
    epoch: float = 0.0
    learning_rate: float = 0.0
    loss: float = 0.0
    grad_norm: float = 0.0
    samples: list[EvidenceSample] = []
    """Highest loss first, at most `MAX_SAMPLES`."""
    left_out: int = 0


def write_evidence(run_path: Path, evidence: BatchEvidence) -> str:
    """Store it and return its path relative to the run folder.

    Raises:
        AppError: `disk.full` or `folder.read_only`.
    """
    name = f"{FOLDER}/step-{evidence.step:06d}-{evidence.alarm}.json"
    path = run_path / name
    path.parent.mkdir(exist_ok=True)
    atomic_io.write_json(path, evidence.model_dump(mode="json"))
    return name


def read_evidence(run_path: Path, name: str) -> BatchEvidence:
    """What `write_evidence` stored.

    Raises:
        AppError: `file.damaged`.
        OSError: it is not there.
    """
    return BatchEvidence.model_validate(atomic_io.read_json(run_path / name))
