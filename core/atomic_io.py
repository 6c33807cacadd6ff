"""Whole files or none: temporary name, flush, rename.

A crash or a full disk at any moment leaves the old file as it was. `safetensors` renames but does
not fsync and `torch.save` overwrites in place (both measured), so everything that must survive
goes through here.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import AppError, ErrorCode

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NO_WRITE = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the OS's words for a full disk or a read-only folder into an `AppError` with a code."""
    try:
        yield
    except OSError as e:
        if e.errno in _NO_SPACE:
            raise AppError(
                ErrorCode.DISK_FULL, path=str(path), free_bytes=free_bytes(path), detail=str(e)
            ) from e
        if e.errno in _NO_WRITE:
            raise AppError(ErrorCode.FOLDER_READ_ONLY, path=str(path), detail=str(e)) from e
        raise


def free_bytes(path: Path) -> int:
    """Free space on the file system that holds `path` or its nearest existing parent."""
    for place in (path, *path.parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return 0


def fsync_path(path: Path) -> None:
    """Flush a file or folder to disk. Windows cannot fsync a folder: it is skipped there."""
    if path.is_dir() and os.name == "nt":
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data`, whole or not at all.

    Raises:
        AppError: `disk.full` or `folder.read_only`; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            with os.fdopen(fd, "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        fsync_path(path.parent)


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """`write_bytes` for UTF-8 text."""
    write_bytes(path, text.encode("utf-8"), mode=mode)


def write_json(path: Path, value: Any) -> None:
    """`write_bytes` for a JSON document that a person may read."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises:
        AppError: `file.damaged` when it is not JSON or not UTF-8.
        FileNotFoundError: when there is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as e:
        raise AppError(ErrorCode.FILE_DAMAGED, path=str(path), detail=str(e)) from e


@contextlib.contextmanager
def staged_folder(final: Path) -> Iterator[Path]:
    """Build a folder under a temporary name; it appears as `final` only when it is whole on disk.

    Yields the staging folder. On success every file is flushed and the folder renamed; on any
    exception the staging folder is removed and `final` is as it was.
    """
    staging = final.with_name(f".{final.name}.{os.getpid()}.staging")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with disk_errors(final):
            staging.mkdir(parents=True)
            yield staging
            for file in staging.rglob("*"):
                fsync_path(file)
            fsync_path(staging)
            if final.exists():
                old = final.with_name(f".{final.name}.{os.getpid()}.old")
                final.rename(old)
                staging.rename(final)
                shutil.rmtree(old, ignore_errors=True)
            else:
                staging.rename(final)
            fsync_path(final.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
