"""A checkpoint: weights, optimizer, random state and where the run stands. No pickle anywhere.

| file | holds |
| --- | --- |
| `adapter_model.safetensors`, `adapter_config.json` | the adapter, in PEFT's format |
| `weights.safetensors` | instead, for full fine-tuning: every weight in fp32 |
| `optimizer.safetensors` | the optimizer's tensors as `<what>/<parameter>` |
| `random.safetensors` | torch's generators |
| `state.json` | step, samples consumed, other generators, scaler, detectors, fingerprints |
| `manifest.json` | size and sha256 of the others |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file

from core import atomic_io
from core.errors import AppError, ErrorCode
from core.runlog.run_dir import RunDir
from workers.harness.team import Team
from workers.train import random_state, trained_state
from workers.train.checkpoint_files import folder_name, verify, write_manifest
from workers.train.parallel.tensors import share_tensors
from workers.train.tensor_files import write_tensors
from workers.train.trained_state import ADAPTER, ADAPTER_WEIGHTS

_OPTIMIZER = "optimizer.safetensors"
_RANDOM = "random.safetensors"
_STATE = "state.json"
_SPARE_BYTES = 1024 * 1024


class TrainerState(BaseModel):
    """Where a run stands between two optimizer steps."""

    model_config = ConfigDict(extra="ignore", ser_json_inf_nan="strings")

    step: int = 0
    consumed_samples: int = 0
    seen_tokens: int = 0
    spec_hash: str = ""
    data: str = ""
    """Fingerprint of the encoded training data."""
    model: str = ""
    """Fingerprint of the base model's files; empty in checkpoints of older versions."""
    detectors: dict[str, Any] = {}
    scaler: dict[str, Any] = {}
    updates: int = 0
    """Steps that changed the weights."""
    skipped_in_a_row: int = 0
    evals_before: dict[str, float] = {}
    """Loss by split before the first step, for the comparison at the end."""
    random: dict[str, Any] = {}
    data_offset: int = 0
    """Samples that were passed over without a look (rollbacks); the next one stands at
    `consumed_samples + data_offset` of the data order."""
    excluded: list[int] = []
    """Training samples that are left out of their windows from now on."""
    lr_scale: float = 1.0
    """By hand: what the schedule's rate is multiplied by."""
    lr_divisor: float = 1.0
    """By rollbacks. A divisor, because 3e-5 / 3 is exactly 1e-5 and 3e-5 * (1 / 3) is not."""
    rollbacks: list[dict[str, Any]] = []
    """`core.divergence.policy.Rollback` of each, oldest first."""
    rewarm_steps: int = 0
    """Steps over which the rate rises again after the last rollback."""
    best: dict[str, float] = {}
    """"step" and "loss" of the best evaluation so far; empty before the first."""
    protected: list[int] = []
    """Steps of checkpoints from before a trouble: they are not removed for being old."""


@dataclass(frozen=True)
class Contents:
    """What a checkpoint holds, as copies in the computer's memory: a snapshot of the run."""

    adapter: dict[str, torch.Tensor]
    """What is trained: of an adapter its own tensors, else all weights."""
    optimizer: dict[str, torch.Tensor]
    generators: dict[str, torch.Tensor]
    """torch's random state."""
    state: TrainerState

    @property
    def size_bytes(self) -> int:
        """Of all tensors."""
        return sum(t.nbytes for t in (*self.adapter.values(), *self.optimizer.values()))


def collect(
    model: Any, optimizer: torch.optim.Optimizer, state: TrainerState, *, copy: bool = True
) -> Contents:
    """Everything that makes the run what it is now.

    Args:
        model: what is trained.
        optimizer: its optimizer.
        state: where the run stands.
        copy: False only for contents that are written before the next step: full fine-tuning of
            7B parameters holds 80 GiB, which need not be in the computer's memory as well.
    """
    plain, generators = random_state.capture()
    return Contents(
        adapter=trained_state.weight_tensors(model, copy=copy),
        optimizer=trained_state.optimizer_tensors(model, optimizer, copy=copy),
        generators=generators,
        state=state.model_copy(deep=True, update={"random": plain}),
    )


def put_back(contents: Contents, model: Any, optimizer: torch.optim.Optimizer) -> None:
    """Weights and optimizer as they were; state and random state are the caller's to take.

    Raises:
        ValueError: the tensors are not those of this run.
    """
    trained_state.load_weights(model, contents.adapter)
    trained_state.load_optimizer(model, optimizer, contents.optimizer)


def save(run: RunDir, model: Any, optimizer: torch.optim.Optimizer, state: TrainerState) -> Path:
    """Write one checkpoint; it is there under its name only when it is whole on disk.

    Raises:
        AppError: `disk.full` (looked for before writing) or `folder.read_only`.
    """
    return write(run, model, collect(model, optimizer, state, copy=False))


def write(run: RunDir, model: Any, contents: Contents) -> Path:
    """`save` for what was collected earlier; of `model` only the adapter's configuration is read.

    Raises:
        AppError: `disk.full` (looked for before writing) or `folder.read_only`.
    """
    final = run.checkpoints / folder_name(contents.state.step)
    need_room(final, contents.size_bytes)
    with atomic_io.staged_folder(final) as folder:
        save_weights(model, contents.adapter, folder)
        write_tensors(folder / _OPTIMIZER, contents.optimizer)
        write_tensors(folder / _RANDOM, contents.generators)
        (folder / _STATE).write_text(contents.state.model_dump_json(), "utf-8")
        write_manifest(folder)
    return final


def read(folder: Path) -> Contents:
    """What `write` wrote.

    Raises:
        AppError: `checkpoint.damaged`.
    """
    verify(folder)
    try:
        return Contents(
            adapter=load_file(_weights_in(folder)),
            optimizer=load_file(folder / _OPTIMIZER),
            generators=load_file(folder / _RANDOM),
            state=TrainerState.model_validate_json((folder / _STATE).read_text("utf-8")),
        )
    except (ValueError, KeyError, OSError) as e:
        raise AppError(ErrorCode.CHECKPOINT_DAMAGED, path=str(folder), detail=str(e)) from e


def read_together(folder: Path, team: Team) -> Contents:
    """`read` by the main process, for all: others may have no such folder. A meeting.

    Raises:
        AppError: `checkpoint.damaged`, in all of them.
    """
    found: Contents | None = None
    error: AppError | None = None
    if team.is_main:
        try:
            found = read(folder)
        except AppError as e:
            error = e
    if (told := team.share(error)) is not None:
        raise told
    return Contents(
        adapter=share_tensors(found.adapter if found else None, team),
        optimizer=share_tensors(found.optimizer if found else None, team),
        generators=share_tensors(found.generators if found else None, team),
        state=team.share(found.state if found else TrainerState()),
    )


def load(
    folder: Path,
    model: Any,
    optimizer: torch.optim.Optimizer,
    check: Callable[[TrainerState], None] | None = None,
    team: Team | None = None,
) -> tuple[TrainerState, dict[str, torch.Tensor]]:
    """Put weights and optimizer back; random state is returned, to be restored after the first
    batch was fetched (fetching it may draw numbers, the unbroken run had drawn them before).

    `check` may refuse the checkpoint before anything is changed.

    Raises:
        AppError: `checkpoint.damaged`.
    """
    contents = read_together(folder, team or Team())
    if check is not None:
        check(contents.state)
    try:
        put_back(contents, model, optimizer)
    except (ValueError, KeyError) as e:
        raise AppError(ErrorCode.CHECKPOINT_DAMAGED, path=str(folder), detail=str(e)) from e
    return contents.state, contents.generators


def save_weights(model: Any, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """An adapter as the two files that PEFT and so every other tool reads; else all weights."""
    write_tensors(folder / trained_state.weights_file(model), tensors)
    if not trained_state.is_adapter(model):
        return
    config = model.peft_config[ADAPTER]
    was, config.inference_mode = config.inference_mode, True
    config.save_pretrained(str(folder))
    config.inference_mode = was


def need_room(final: Path, payload_bytes: int) -> None:
    """Look for room before anything is written.

    Raises:
        AppError: `disk.full` with `needed_bytes` and `free_bytes`.
    """
    needed, free = payload_bytes + _SPARE_BYTES, atomic_io.free_bytes(final)
    if free < needed:
        raise AppError(ErrorCode.DISK_FULL, path=str(final), needed_bytes=needed, free_bytes=free)


def _weights_in(folder: Path) -> Path:
    adapter = folder / ADAPTER_WEIGHTS
    return adapter if adapter.is_file() else folder / trained_state.FULL_WEIGHTS
