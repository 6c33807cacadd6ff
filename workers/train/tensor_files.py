"""Writing safetensors one tensor at a time, so that a checkpoint needs no second copy in memory.

The format (https://github.com/huggingface/safetensors#format) is a length, a JSON header and the
bytes. The library's own writer wants all tensors at once and hides why a write failed; here a full
disk is the `OSError` that it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write `tensors` under their names; those on a card are copied over one by one.

    Raises:
        OSError: as the file system says it, above all for a full disk.
    """
    # Wide types first, so that every tensor begins at a multiple of its element's size.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    with path.open("wb") as f:
        f.write(_header(ordered))
        for _, tensor in ordered:
            f.write(_bytes_of(tensor))


def _header(ordered: list[tuple[str, torch.Tensor]]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in ordered:
        entries[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + tensor.nbytes],
        }
        at += tensor.nbytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bytes_of(tensor: torch.Tensor) -> Any:
    """A buffer over the tensor's bytes; bf16, which numpy has not, passes as bytes."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy()
