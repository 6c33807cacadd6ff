"""Read and check the header of a safetensors file without mapping its weights.

Format: https://github.com/huggingface/safetensors#format. A length of 8 bytes (little endian),
then that much JSON, then the data. A file from a stranger is not trusted: every length, offset,
data type and shape is checked against the file itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

MAX_HEADER_BYTES = 100_000_000
"""The limit of the format's own reader."""

DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32,
    "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip


class DamagedHeader(ValueError):
    """The file is not what its header says; the message says where."""


@dataclass(frozen=True)
class Tensor:
    """One entry of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """First byte, counted from the end of the header."""
    end: int

    @property
    def elements(self) -> int:
        """Number of elements; 1 for a scalar."""
        return math.prod(self.shape)


def read_header(path: Path) -> list[Tensor]:
    """All tensors of one file, in the order of their data.

    Raises:
        DamagedHeader: truncated, overlapping, unknown data type, or not this format.
        OSError: the file cannot be read.
    """
    with path.open("rb") as f:
        size = f.seek(0, 2)
        f.seek(0)
        raw_length = f.read(8)
        if len(raw_length) < 8:
            raise DamagedHeader("shorter than 8 bytes")
        length = int.from_bytes(raw_length, "little")
        if length > MAX_HEADER_BYTES or 8 + length > size:
            raise DamagedHeader(f"header of {length} bytes in a file of {size}")
        raw = f.read(length)
    tensors = sorted((_tensor(k, v) for k, v in _entries(raw)), key=lambda t: (t.begin, t.end))
    _check_layout(tensors, size - 8 - length)
    return tensors


def _entries(raw: bytes) -> list[tuple[str, Any]]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as e:
        raise DamagedHeader("the header is not JSON") from e
    if not isinstance(header, dict):
        raise DamagedHeader("the header is not an object")
    return [(k, v) for k, v in header.items() if k != "__metadata__"]


def _tensor(name: str, raw: Any) -> Tensor:
    if not isinstance(raw, Mapping):
        raise DamagedHeader(f"{name}: not an object")
    dtype, shape, offsets = raw.get("dtype"), raw.get("shape"), raw.get("data_offsets")
    if dtype not in DTYPE_BITS:
        raise DamagedHeader(f"{name}: unknown data type {str(dtype)[:20]}")
    if not (_are_sizes(shape) and _are_sizes(offsets) and len(offsets) == 2):
        raise DamagedHeader(f"{name}: shape or offsets are not sizes")
    tensor = Tensor(name, dtype, tuple(shape), offsets[0], offsets[1])
    expected = (tensor.elements * DTYPE_BITS[dtype] + 7) // 8
    if tensor.end - tensor.begin != expected:
        raise DamagedHeader(f"{name}: {tensor.end - tensor.begin} bytes instead of {expected}")
    return tensor


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(x) is int and 0 <= x < 2**63 for x in value)


def _check_layout(tensors: list[Tensor], data_bytes: int) -> None:
    at = 0
    for tensor in tensors:
        if tensor.begin != at:
            kind = "overlaps the one before" if tensor.begin < at else "leaves a hole before it"
            raise DamagedHeader(f"{tensor.name}: {kind}")
        at = tensor.end
    if at > data_bytes:
        raise DamagedHeader(f"truncated: {data_bytes} of {at} bytes of weights are there")
    if at < data_bytes:
        raise DamagedHeader(f"{data_bytes - at} bytes behind the last tensor")
