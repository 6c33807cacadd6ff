"""Read the header of a GGUF file with every length checked before it is used.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Lengths in such files have led
to heap reads elsewhere (CVE-2026-7482, CVE-2026-27940), so this reader never allocates by a
number from the file without comparing it with what is left of the file.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

MAX_ENTRIES = 100_000
MAX_ARRAY = 4_000_000
MAX_STRING_BYTES = 1 << 20
MAX_DIMENSIONS = 4
_KEPT_STRING_BYTES = 256 * 1024

# type id -> struct code, from the format's enum gguf_metadata_value_type
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
            12: "d"}  # fmt: skip
_STRING, _ARRAY = 8, 9

# id -> (name, elements of a block, bytes of a block), from ggml.h
GGML_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2),
    26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip


class DamagedGguf(ValueError):
    """Not a GGUF file, or one whose numbers do not fit it."""


@dataclass(frozen=True)
class GgufTensor:
    """One tensor's place and form."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size_bytes: int

    @property
    def elements(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class GgufHeader:
    """What the file says of itself."""

    version: int
    metadata: dict[str, Any] = field(repr=False)
    """Scalars and strings by key; an array is its length under the same key."""
    tensors: tuple[GgufTensor, ...] = field(repr=False)
    data_offset: int = 0


def read_gguf_header(path: Path) -> GgufHeader:
    """Metadata and tensor list.

    Raises:
        DamagedGguf: not this format, truncated, or a count beyond the caps of this module.
        OSError: the file cannot be read.
    """
    with path.open("rb") as f:
        size = f.seek(0, 2)
        f.seek(0)
        reader = _Reader(f, size)
        if reader.take(4) != b"GGUF":
            raise DamagedGguf("no GGUF magic")
        version = reader.number("I")
        if version not in (2, 3):
            raise DamagedGguf(f"version {version} is not known")
        num_tensors, num_entries = reader.count(MAX_ENTRIES), reader.count(MAX_ENTRIES)
        metadata = {}
        for _ in range(num_entries):
            key = reader.string(MAX_STRING_BYTES)
            metadata[key] = reader.value(reader.number("I"))
        tensors = tuple(_tensor(reader) for _ in range(num_tensors))
        data_offset = _aligned(reader.position, metadata.get("general.alignment", 32))
    _check_places(tensors, size - data_offset)
    return GgufHeader(version, metadata, tensors, data_offset)


class _Reader:
    """Takes bytes off a file and never asks for more than is left."""

    def __init__(self, file: BufferedReader, size: int) -> None:
        self._file = file
        self._size = size
        self.position = 0

    def take(self, count: int) -> bytes:
        if count > self._size - self.position:
            raise DamagedGguf(f"ends at byte {self._size}, {count} more were promised")
        self.position += count
        return self._file.read(count)

    def skip(self, count: int) -> None:
        if count > self._size - self.position:
            raise DamagedGguf(f"ends at byte {self._size}, {count} more were promised")
        self.position += count
        self._file.seek(count, 1)

    def number(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def count(self, cap: int) -> int:
        value = int(self.number("Q"))
        if value > cap:
            raise DamagedGguf(f"{value} entries are more than {cap}")
        return value

    def string(self, cap: int) -> str:
        return self.take(self.count(cap)).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.string(_KEPT_STRING_BYTES)
        if kind == _ARRAY:
            return self._skip_array()
        raise DamagedGguf(f"unknown type {kind} of a value")

    def _skip_array(self) -> int:
        """Step over an array and return its length: vocabularies are not needed here."""
        kind, length = self.number("I"), self.count(MAX_ARRAY)
        if kind in _SCALARS:
            self.skip(length * struct.calcsize("<" + _SCALARS[kind]))
        elif kind == _STRING:
            for _ in range(length):
                self.skip(self.count(MAX_STRING_BYTES))
        else:
            raise DamagedGguf(f"an array of type {kind}")
        return length


def _tensor(reader: _Reader) -> GgufTensor:
    name = reader.string(1024)
    dimensions = int(reader.number("I"))
    if dimensions > MAX_DIMENSIONS:
        raise DamagedGguf(f"{name}: {dimensions} dimensions")
    shape = tuple(reader.count(2**48) for _ in range(dimensions))
    kind, offset = reader.number("I"), reader.count(2**62)
    if kind not in GGML_TYPES:
        raise DamagedGguf(f"{name}: unknown type {kind}")
    dtype, block, block_bytes = GGML_TYPES[kind]
    elements = math.prod(shape)
    if elements % block:
        raise DamagedGguf(f"{name}: {elements} weights are no whole blocks of {block}")
    return GgufTensor(name, dtype, shape, offset, elements // block * block_bytes)


def _aligned(position: int, alignment: Any) -> int:
    if not isinstance(alignment, int) or not 1 <= alignment <= 65536:
        raise DamagedGguf(f"alignment {alignment}")
    return -(-position // alignment) * alignment


def _check_places(tensors: tuple[GgufTensor, ...], data_bytes: int) -> None:
    end = 0
    for tensor in sorted(tensors, key=lambda t: t.offset):
        if tensor.offset < end:
            raise DamagedGguf(f"{tensor.name} overlaps the one before")
        end = tensor.offset + tensor.size_bytes
        if end > data_bytes:
            raise DamagedGguf(f"truncated: {tensor.name} ends at {end} of {max(0, data_bytes)}")
