"""A checkpoint: adapter, optimizer, random state and where the run stands. No pickle anywhere.

| file | holds |
| --- | --- |
| `adapter_model.safetensors`, `adapter_config.json` | the adapter, in PEFT's format |
| `optimizer.safetensors` | AdamW's tensors as `<what>/<parameter>` |
| `random.safetensors` | torch's generators |
| `state.json` | step, samples consumed, other generators, scaler, detectors, fingerprints |
| `manifest.json` | size and sha256 of the others |
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from core import atomic_io
from core.errors import AppError, ErrorCode
from core.runlog.run_dir import RunDir
from workers.train import random_state
from workers.train.checkpoint_files import folder_name, verify, write_manifest

ADAPTER_WEIGHTS = "adapter_model.safetensors"
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
    guard: dict[str, Any] = {}
    """What the guard remembers (`workers.train.guard`)."""


@dataclass(frozen=True)
class Contents:
    """What a checkpoint holds, as copies in the computer's memory: a snapshot of the run."""

    adapter: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    generators: dict[str, torch.Tensor]
    """torch's random state."""
    state: TrainerState

    @property
    def size_bytes(self) -> int:
        """Of all tensors."""
        return sum(t.nbytes for t in (*self.adapter.values(), *self.optimizer.values()))


def collect(model: Any, optimizer: torch.optim.Optimizer, state: TrainerState) -> Contents:
    """Copy everything that makes the run what it is now."""
    plain, generators = random_state.capture()
    return Contents(
        adapter=adapter_tensors(model),
        optimizer=_optimizer_tensors(model, optimizer),
        generators=generators,
        state=state.model_copy(deep=True, update={"random": plain}),
    )


def put_back(contents: Contents, model: Any, optimizer: torch.optim.Optimizer) -> None:
    """Weights and optimizer as they were; state and random state are the caller's to take.

    Raises:
        ValueError: the tensors are not those of this run.
    """
    _load_adapter(model, contents.adapter)
    # `load_state_dict` keeps tensors that need no conversion: training would write into them.
    copies = {name: _on_host(tensor) for name, tensor in contents.optimizer.items()}
    _load_optimizer(model, optimizer, copies)


def save(run: RunDir, model: Any, optimizer: torch.optim.Optimizer, state: TrainerState) -> Path:
    """Write one checkpoint; it is there under its name only when it is whole on disk.

    Raises:
        AppError: `disk.full` (looked for before writing) or `folder.read_only`.
    """
    return write(run, model, collect(model, optimizer, state))


def write(run: RunDir, model: Any, contents: Contents) -> Path:
    """`save` for what was collected earlier; of `model` only the adapter's configuration is read.

    Raises:
        AppError: `disk.full` (looked for before writing) or `folder.read_only`.
    """
    final = run.checkpoints / folder_name(contents.state.step)
    need_room(final, contents.size_bytes)
    with atomic_io.staged_folder(final) as folder:
        save_adapter(model, contents.adapter, folder)
        _write(folder / _OPTIMIZER, contents.optimizer)
        _write(folder / _RANDOM, contents.generators)
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
            adapter=load_file(folder / ADAPTER_WEIGHTS),
            optimizer=load_file(folder / _OPTIMIZER),
            generators=load_file(folder / _RANDOM),
            state=TrainerState.model_validate_json((folder / _STATE).read_text("utf-8")),
        )
    except (ValueError, KeyError, OSError) as e:
        raise AppError(ErrorCode.CHECKPOINT_DAMAGED, path=str(folder), detail=str(e)) from e


def load(
    folder: Path, model: Any, optimizer: torch.optim.Optimizer
) -> tuple[TrainerState, dict[str, torch.Tensor]]:
    """Put adapter and optimizer back; random state is returned, to be restored after the first
    batch was fetched (fetching it may draw numbers, the unbroken run had drawn them before).

    Raises:
        AppError: `checkpoint.damaged`.
    """
    contents = read(folder)
    try:
        put_back(contents, model, optimizer)
    except (ValueError, KeyError) as e:
        raise AppError(ErrorCode.CHECKPOINT_DAMAGED, path=str(folder), detail=str(e)) from e
    return contents.state, contents.generators


def save_adapter(model: Any, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """The two files that PEFT, and so every other tool, reads."""
    _write(folder / ADAPTER_WEIGHTS, tensors)
    config = model.peft_config["default"]
    was, config.inference_mode = config.inference_mode, True
    config.save_pretrained(str(folder))
    config.inference_mode = was


def adapter_tensors(model: Any) -> dict[str, torch.Tensor]:
    """Copies of the adapter's tensors under PEFT's names, on the CPU."""
    from peft import get_peft_model_state_dict

    found = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: _on_host(tensor) for name, tensor in found.items()}


def need_room(final: Path, payload_bytes: int) -> None:
    """Look for room before anything is written.

    Raises:
        AppError: `disk.full` with `needed_bytes` and `free_bytes`.
    """
    needed, free = payload_bytes + _SPARE_BYTES, atomic_io.free_bytes(final)
    if free < needed:
        raise AppError(ErrorCode.DISK_FULL, path=str(final), needed_bytes=needed, free_bytes=free)


def _on_host(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in any case: training goes on and writes into the original."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    # Through Python's own file: safetensors hides the cause of a failed write from the caller.
    path.write_bytes(to_bytes(tensors, metadata={"format": "pt"}))


def _trained(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def _optimizer_tensors(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {
        f"{what}/{name}": _on_host(tensor)
        for name, parameter in _trained(model)
        for what, tensor in optimizer.state[parameter].items()
    }


def _load_optimizer(
    model: Any, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]
) -> None:
    """Through `load_state_dict`, which puts each tensor where its parameter lives."""
    order = {p: i for i, p in enumerate(p for g in optimizer.param_groups for p in g["params"])}
    by_name = {name: order[parameter] for name, parameter in _trained(model)}
    found: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        what, _, name = key.partition("/")
        found.setdefault(by_name[name], {})[what] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": found, "param_groups": groups})


def _load_adapter(model: Any, tensors: dict[str, torch.Tensor]) -> None:
    from peft import set_peft_model_state_dict

    expected = adapter_tensors(model)
    if expected.keys() != tensors.keys():
        raise ValueError("the adapter's tensors are not those of this run")
    set_peft_model_state_dict(model, tensors)
