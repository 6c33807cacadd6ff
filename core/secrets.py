"""The API key: made at first use, readable by its owner only, never in a run folder or argv."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from core import atomic_io
from core.paths import Home

_KEY_BYTES = 24
"""192 random bits."""
_SHORTEST = 20
"""A file with less was torn or edited away; it is replaced."""


def api_key(home: Home) -> str:
    """The key of this home; made when there is none.

    Processes that ask at the same time get the same key: one makes it, the others read his.

    Raises:
        AppError: `disk.full` or `folder.read_only`.
    """
    path = home.api_key_file
    if key := _read(path):
        return key
    with makers_turn(path.parent):
        # Again: another may have made it between the look and the turn. Nothing is removed first,
        # so a key that somebody was told stays.
        return _read(path) or _write(path)


def new_api_key(home: Home) -> str:
    """Replace the key; servers that run refuse the old one within a second.

    Raises:
        AppError: `disk.full` or `folder.read_only`.
    """
    path = home.api_key_file
    with makers_turn(path.parent):
        return _write(path)


def _read(path: Path) -> str:
    try:
        key = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""
    if os.name == "posix" and path.stat().st_mode & 0o077:
        path.chmod(0o600)  # a copy or a restore made it readable for others
    return key if len(key) >= _SHORTEST else ""


def _write(path: Path) -> str:
    key = "dd-" + secrets.token_urlsafe(_KEY_BYTES)
    atomic_io.write_text(path, key + "\n", mode=0o600)
    return key


@contextlib.contextmanager
def makers_turn(folder: Path) -> Iterator[None]:
    """One maker of keys at a time; the system gives the turn on when its holder dies."""
    _private_folder(folder)
    with atomic_io.disk_errors(folder):
        fd = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _wait_for_lock(fd)
        yield
    finally:
        os.close(fd)


def _wait_for_lock(fd: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(fd, msvcrt.LK_LOCK, 1)  # gives up after 10 s with an OSError
    else:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX)


def _private_folder(folder: Path) -> None:
    with atomic_io.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
