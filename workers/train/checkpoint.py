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


def save(run: RunDir, model: Any, optimizer: torch.optim.Optimizer, state: TrainerState) -> Path:
    """Write one checkpoint; it is there under its name only when it is whole on disk.

    Raises:
        AppError: `disk.full` (looked for before writing) or `folder.read_only`.
    """
    final = run.checkpoints / folder_name(state.step)
    tensors = _optimizer_tensors(model, optimizer)
    adapter = adapter_tensors(model)
    need_room(final, sum(t.nbytes for t in (*tensors.values(), *adapter.values())))
    plain, generators = random_state.capture()
    with atomic_io.staged_folder(final) as folder:
        save_adapter(model, adapter, folder)
        _write(folder / _OPTIMIZER, tensors)
        _write(folder / _RANDOM, generators)
        text = state.model_copy(update={"random": plain}).model_dump_json()
        (folder / _STATE).write_text(text, "utf-8")
        write_manifest(folder)
    return final


def load(
    folder: Path, model: Any, optimizer: torch.optim.Optimizer
) -> tuple[TrainerState, dict[str, torch.Tensor]]:
    """Put adapter and optimizer back; random state is returned, to be restored after the first
    batch was fetched (fetching it may draw numbers, the unbroken run had drawn them before).

    Raises:
        AppError: `checkpoint.damaged`.
    """
    verify(folder)
    try:
        state = TrainerState.model_validate_json((folder / _STATE).read_text("utf-8"))
        _load_adapter(model, load_file(folder / ADAPTER_WEIGHTS))
        _load_optimizer(model, optimizer, load_file(folder / _OPTIMIZER))
        return state, load_file(folder / _RANDOM)
    except (ValueError, KeyError, OSError) as e:
        raise AppError(ErrorCode.CHECKPOINT_DAMAGED, path=str(folder), detail=str(e)) from e


def save_adapter(model: Any, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """The two files that PEFT, and so every other tool, reads."""
    _write(folder / ADAPTER_WEIGHTS, tensors)
    config = model.peft_config["default"]
    was, config.inference_mode = config.inference_mode, True
    config.save_pretrained(str(folder))
    config.inference_mode = was


def adapter_tensors(model: Any) -> dict[str, torch.Tensor]:
    """The adapter's tensors under PEFT's names, on the CPU."""
    from peft import get_peft_model_state_dict

    found = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in found.items()}


def need_room(final: Path, payload_bytes: int) -> None:
    """Look for room before anything is written.

    Raises:
        AppError: `disk.full` with `needed_bytes` and `free_bytes`.
    """
    needed, free = payload_bytes + _SPARE_BYTES, atomic_io.free_bytes(final)
    if free < needed:
        raise AppError(ErrorCode.DISK_FULL, path=str(final), needed_bytes=needed, free_bytes=free)


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    # Through Python's own file: safetensors hides the cause of a failed write from the caller.
    path.write_bytes(to_bytes(tensors, metadata={"format": "pt"}))


def _trained(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def _optimizer_tensors(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {
        f"{what}/{name}": tensor.detach().cpu().contiguous()
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
