"""A whole model as a folder that every tool reads: safetensors, tokenizer, template, settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from core import atomic_io
from core.errors import AppError, ErrorCode
from workers.train.chat import FALLBACK_TEMPLATE

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_SPARE_BYTES = 64 * 1024 * 1024
"""For tokenizer and settings."""


def stored_dtype(name: str) -> torch.dtype:
    """Of weights on disk, by `ModelInfo.dtype`; bf16 for what cannot be written (fp8, GGUF)."""
    return _DTYPES.get(name, torch.bfloat16)


def model_room(model: Any, dtype: torch.dtype) -> int:
    """Bytes that `save_model` needs."""
    weights: int = sum(p.numel() for p in model.parameters())
    return weights * dtype.itemsize + _SPARE_BYTES


def save_model(model: Any, tokenizer: Any, folder: Path, dtype: torch.dtype) -> None:
    """Write a transformers model with its weights in `dtype` into an existing folder.

    Names on disk are those of the original: transformers splits fused experts again. The chat
    template and the generation settings are written as well.

    Raises:
        AppError: `disk.full`, which safetensors itself reports without its cause.
    """
    try:
        model.save_pretrained(folder, state_dict=_cast(model, dtype))
        _name_dtype(folder / "config.json", dtype)
        save_tokenizer(tokenizer, folder)
    except Exception as e:
        if "No space left" in str(e):
            raise AppError(
                ErrorCode.DISK_FULL,
                path=str(folder),
                needed_bytes=model_room(model, dtype),
                free_bytes=atomic_io.free_bytes(folder),
                detail=str(e),
            ) from e
        raise


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """The tokenizer with its chat template; a fallback template as a file that says what it is."""
    tokenizer.save_pretrained(folder)
    save_fallback_template(tokenizer, folder)


def save_fallback_template(tokenizer: Any, folder: Path) -> None:
    """Where the model had no template, the one that was trained with goes along."""
    if tokenizer.chat_template == FALLBACK_TEMPLATE:
        (folder / "chat_template.jinja").write_text(FALLBACK_TEMPLATE, "utf-8")


def _name_dtype(config: Path, dtype: torch.dtype) -> None:
    """`save_pretrained` names the dtype in memory, not the one that was written."""
    values = json.loads(config.read_text("utf-8"))
    values["dtype"] = str(dtype).removeprefix("torch.")
    config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", "utf-8")


def _cast(model: Any, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Parameters in `dtype` on the CPU, tied ones once; buffers as they are (V3's routing bias is
    fp32 and must stay so).
    """
    parameters = {p.data_ptr() for p in model.parameters()}
    done: dict[int, torch.Tensor] = {}
    found: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        at = tensor.data_ptr()
        if at not in done:
            done[at] = tensor.to("cpu", dtype) if at in parameters else tensor.cpu()
        found[name] = done[at]
    return found
