"""Small and read-only disks, for real."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(place: Path, size: str) -> Iterator[Path]:
    """A tmpfs of `size` at `place`."""
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def make_read_only(place: Path) -> None:
    """Root ignores permission bits, so the mount itself becomes read-only."""
    _mount("-o", "remount,ro", str(place))


def make_writable(place: Path) -> None:
    _mount("-o", "remount,rw", str(place))


def _mount(*arguments: str) -> None:
    try:
        done = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
