"""The API key: made at first use, readable by its owner only, never in a run folder or argv."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from core import atomic_io
from core.paths import Home

_KEY_BYTES = 24
"""192 random bits."""
_SHORTEST = 20
"""A file with less was torn or edited away; it is replaced."""


def api_key(home: Home) -> str:
    """The key of this home; made when there is none.

    Two processes that ask at the same time get the same key: the first to link its file wins.

    Raises:
        AppError: `disk.full` or `folder.read_only`.
    """
    path = home.api_key_file
    if key := _read(path):
        return key
    path.unlink(missing_ok=True)
    _make(path)
    return _read(path)


def new_api_key(home: Home) -> str:
    """Replace the key; servers that run keep the old one until they are started again.

    Raises:
        AppError: `disk.full` or `folder.read_only`.
    """
    key = _random_key()
    _private_folder(home.api_key_file.parent)
    atomic_io.write_text(home.api_key_file, key + "\n", mode=0o600)
    return key


def _read(path: Path) -> str:
    try:
        key = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""
    if os.name == "posix" and path.stat().st_mode & 0o077:
        path.chmod(0o600)  # a copy or a restore made it readable for others
    return key if len(key) >= _SHORTEST else ""


def _make(path: Path) -> None:
    _private_folder(path.parent)
    own = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        atomic_io.write_text(own, _random_key() + "\n", mode=0o600)
        with atomic_io.disk_errors(path):
            os.link(own, path)
    except FileExistsError:
        return  # somebody was faster; his key counts
    finally:
        own.unlink(missing_ok=True)


def _private_folder(folder: Path) -> None:
    with atomic_io.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)


def _random_key() -> str:
    return "dd-" + secrets.token_urlsafe(_KEY_BYTES)
