"""Tells one model's weights from another's without reading all of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

_SAMPLE_BYTES = 64 * 1024
_SAMPLES = 64
_WEIGHTS = ("*.safetensors", "*.gguf")


def model_fingerprint(path: Path) -> str:
    """Hash over config.json and over size, beginning and 64 spread samples of each weight file.

    Training changes every block of a weight file, so another training of the same model has another
    fingerprint; 60 GiB take well under a second. `path` is a folder or one GGUF file.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    config = path / "config.json"
    if config.is_file():
        digest.update(config.read_bytes())
    for file in weight_files(path):
        digest.update(f"{file.name} {file.stat().st_size}".encode())
        _add_samples(digest, file)
    return digest.hexdigest()


def weight_files(path: Path) -> list[Path]:
    """The files with weights of a model, by name."""
    if path.is_file():
        return [path]
    return sorted(file for pattern in _WEIGHTS for file in path.glob(pattern))


def _add_samples(digest: hashlib._Hash, file: Path) -> None:
    size = file.stat().st_size
    stride = max(_SAMPLE_BYTES, size // _SAMPLES)
    with file.open("rb") as f:
        for begin in range(0, size, stride):
            f.seek(begin)
            digest.update(f.read(_SAMPLE_BYTES))
