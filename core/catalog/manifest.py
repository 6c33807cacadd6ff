"""The note beside a fetched model: where it came from and the SHA-256 of each of its files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from core import atomic_io
from core.errors import AppError, ErrorCode, ErrorInfo

MANIFEST = "deepdeck-model.json"
_BITE_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in bites."""
    digest = hashlib.sha256()
    with path.open("rb") as f:
        while bite := f.read(_BITE_BYTES):
            digest.update(bite)
    return digest.hexdigest()


def write_manifest(folder: Path, facts: dict[str, Any], sha256: dict[str, str]) -> None:
    """Note `facts` and the digests by file name."""
    atomic_io.write_json(folder / MANIFEST, {"v": 1, **facts, "sha256": sha256})


def check_manifest(folder: Path) -> list[ErrorInfo]:
    """What differs from the manifest; a folder without one has nothing to differ from."""
    path = folder / MANIFEST
    try:
        wanted = {str(k): str(v) for k, v in atomic_io.read_json(path)["sha256"].items()}
    except FileNotFoundError:
        return []
    except (AppError, KeyError, TypeError, AttributeError) as e:
        return [_damaged(path, str(e))]
    checked = (_check(folder / Path(name).name, sha) for name, sha in wanted.items())
    return [problem for problem in checked if problem is not None]


def _check(path: Path, wanted: str) -> ErrorInfo | None:
    try:
        found = sha256_of(path)
    except OSError as e:
        return _damaged(path, str(e))
    return None if found == wanted else _damaged(path, f"sha256 {found}, expected {wanted}")


def _damaged(path: Path, detail: str) -> ErrorInfo:
    return ErrorInfo(
        code=ErrorCode.MODEL_WEIGHTS_DAMAGED.value, params={"path": str(path)}, detail=detail
    )
