"""Checkpoint folders on disk: names, manifest, choice of the newest whole one. No torch here."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from core.errors import AppError, ErrorCode, ErrorInfo
from core.runlog.run_dir import RunDir

MANIFEST = "manifest.json"
_NAME = re.compile(r"^step-(\d+)$")
_LEFT_OVER = re.compile(r"^\.step-\d+\.\d+\.(staging|old)$")


@dataclass(frozen=True)
class Choice:
    """What a resume can start from."""

    path: Path | None
    step: int
    damaged: tuple[ErrorInfo, ...] = ()
    """Newer ones that had to be passed over."""


def folder_name(step: int) -> str:
    """Sorts by step in a listing: step-000120."""
    return f"step-{step:06d}"


def write_manifest(folder: Path) -> None:
    """Name, size and sha256 of every file in the folder, so that damage is seen on resume."""
    files = [
        {"file": p.name, "size_bytes": p.stat().st_size, "sha256": _sha256(p)}
        for p in sorted(folder.iterdir())
        if p.name != MANIFEST
    ]
    (folder / MANIFEST).write_text(json.dumps({"v": 1, "files": files}, indent=1), "utf-8")


def verify(folder: Path) -> None:
    """Check a checkpoint against its manifest.

    Raises:
        AppError: `checkpoint.damaged` with the first thing that is wrong.
    """
    try:
        files = json.loads((folder / MANIFEST).read_text("utf-8"))["files"]
        problem = next((text for entry in files if (text := _problem(folder, entry))), None)
    except (OSError, ValueError, KeyError, TypeError) as e:
        problem = f"{MANIFEST}: {e}"
    if problem:
        raise AppError(ErrorCode.CHECKPOINT_DAMAGED, path=str(folder), detail=problem)


def choose(run: RunDir) -> Choice:
    """The newest checkpoint whose files are what its manifest says."""
    damaged: list[ErrorInfo] = []
    for step, folder in sorted(_found(run), reverse=True):
        try:
            verify(folder)
        except AppError as e:
            damaged.append(e.info)
        else:
            return Choice(folder, step, tuple(damaged))
    return Choice(None, 0, tuple(damaged))


def newest_step(run: RunDir) -> int | None:
    """Step of the checkpoint that a resume would take."""
    choice = choose(run)
    return choice.step if choice.path else None


def steps(run: RunDir) -> list[int]:
    """Of all announced checkpoints, in rising order."""
    return sorted(step for step, _ in _found(run))


def prune(run: RunDir, keep: int, protected: Collection[int] = ()) -> None:
    """Remove all but the newest `keep` and the `protected` steps.

    What cannot be removed stays; it is only space.
    """
    old = [(step, p) for step, p in _found(run) if step not in protected]
    for _, folder in sorted(old, reverse=True)[keep:]:
        shutil.rmtree(folder, ignore_errors=True)


def remove_after(run: RunDir, step: int) -> None:
    """Remove the checkpoints that a rollback to `step` has left, so that no resume takes one.

    Each is renamed first: a worker that dies in the middle leaves none that looks whole.
    """
    for found, folder in _found(run):
        if found > step:
            aside = folder.with_name(f".{folder.name}.0.old")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)


def sweep(run: RunDir) -> None:
    """Remove what a worker left behind that was killed while it saved."""
    if not run.checkpoints.is_dir():
        return
    for folder in run.checkpoints.iterdir():
        if _LEFT_OVER.match(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def folder_bytes(folder: Path) -> int:
    """Size of all files in a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _found(run: RunDir) -> list[tuple[int, Path]]:
    if not run.checkpoints.is_dir():
        return []
    names = ((_NAME.match(p.name), p) for p in run.checkpoints.iterdir())
    return [(int(match.group(1)), p) for match, p in names if match]


def _problem(folder: Path, entry: dict[str, str | int]) -> str | None:
    file = folder / Path(str(entry["file"])).name
    if not file.is_file():
        return f"{file.name} is missing"
    if file.stat().st_size != entry["size_bytes"]:
        return f"{file.name} has {file.stat().st_size} bytes instead of {entry['size_bytes']}"
    return None if _sha256(file) == entry["sha256"] else f"{file.name} was changed"


def _sha256(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
