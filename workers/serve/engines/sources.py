"""Where `from_pretrained` finds a model; no torch in here."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def gguf_file_of(path: Path) -> Path | None:
    """The GGUF file that `path` is or holds, if it holds no safetensors."""
    if path.suffix.lower() == ".gguf":
        return path
    if path.is_dir() and not any(path.glob("*.safetensors")):
        return next(iter(sorted(path.glob("*.gguf"))), None)
    return None


def source_arguments(path: Path) -> tuple[str, dict[str, Any]]:
    """What `from_pretrained` takes for a folder or a GGUF file; never code, never the network."""
    arguments: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    gguf = gguf_file_of(path)
    if gguf is None:
        return str(path), arguments
    return str(gguf.parent), arguments | {"gguf_file": gguf.name}
