"""`preview.json`: samples as the model will read them, token by token, and what was found."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core import atomic_io
from core.errors import ErrorInfo
from core.protocol.events import Finding

FILE = "preview.json"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PreviewPiece(_Model):
    """Tokens in a row that are all trained or all not."""

    text: str = ""
    """Joined `tokens`."""
    trained: bool = False
    """Receives loss: painted in the trained color."""
    ids: list[int] = []
    tokens: list[str] = []
    """Text of each id; a character of several tokens stands at the first, the others are empty."""
    special: list[bool] = []
    """Whether each token is one of the tokenizer's special tokens."""


class PreviewSample(_Model):
    """One row of the training, before packing."""

    sample: int = -1
    """Its number among the training samples, as in an alarm's evidence; -1: it is dropped."""
    file: str = ""
    """In the dataset's folder."""
    line: int = 0
    """Where it begins in the user's file, from 1."""
    tokens: int = 0
    target_tokens: int = 0
    pieces: list[PreviewPiece] = []
    findings: list[Finding] = []
    """Codes of `app.texts.train_notes`, about this sample."""


class Histogram(_Model):
    """Samples by length in tokens, before the cut."""

    edges: list[int] = []
    """`counts[i]` samples have `edges[i]` to `edges[i + 1] - 1` tokens; one edge more than
    counts."""
    counts: list[int] = []


class PackingForecast(_Model):
    """What packing would do with this data at this row length."""

    rows: int = 0
    """Packed rows of an epoch."""
    share: float = 0.0
    """Tokens of the data among all places of the packed rows, 0 to 1."""
    share_padded: float = 0.0
    """The same for micro-batches that are padded to their longest sample."""


class Preview(_Model):
    """All that the token view shows."""

    v: int = 1
    model: str = ""
    template: str = ""
    """"own", "fallback" (the model has none, DeepSeek-LLM's is used) or "" (plain text only)."""
    samples: list[PreviewSample] = []
    dropped: list[PreviewSample] = []
    """The first few that have nothing to learn from."""
    sample_count: int = 0
    """Training samples (after dropping), among those that were read."""
    dropped_count: int = 0
    complete: bool = True
    """False when there are more samples than `max_samples`: the counts are of the first ones."""
    total_tokens: int = 0
    target_tokens: int = 0
    trained_share: float = 0.0
    longest_tokens: int = 0
    """Before the cut."""
    cut_count: int = 0
    """Samples longer than the limit."""
    limit_tokens: int = 0
    """The smaller of `seq_len` and the model's context."""
    lengths: Histogram = Histogram()
    packing: PackingForecast = PackingForecast()
    findings: list[Finding] = []
    """Codes of `app.texts.train_notes`, about all of the data."""
    target_modules: list[str] = []
    """Names of the modules that get an adapter; empty for full fine-tuning."""
    target_counts: dict[str, int] = {}
    """How many modules each name stands for."""
    trainable_parameters: int = 0
    """Of the adapter."""
    targets_problem: ErrorInfo | None = None
    """Why the names could not be resolved."""


def write_preview(run_path: Path, preview: Preview) -> None:
    """Store it in the run folder.

    Raises:
        AppError: `disk.full` or `folder.read_only`.
    """
    atomic_io.write_text(run_path / FILE, preview.model_dump_json())


def read_preview(run_path: Path) -> Preview | None:
    """What was stored, or None while it is not there.

    Raises:
        AppError: `file.damaged`.
    """
    try:
        return Preview.model_validate(atomic_io.read_json(run_path / FILE))
    except FileNotFoundError:
        return None
