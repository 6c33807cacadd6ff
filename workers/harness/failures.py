"""From an exception to the error that `run.finished` carries."""

from __future__ import annotations

import errno
import traceback

from core.errors import AppError, ErrorCode, ErrorInfo

_DETAIL_CHARS = 4000


def error_info(e: BaseException) -> ErrorInfo:
    """The stable code of an exception; the traceback goes into `detail`, for diagnostics only."""
    if isinstance(e, AppError):
        return e.info
    code, params = _known(e)
    trace = "".join(traceback.format_exception(e))[-_DETAIL_CHARS:]
    return ErrorInfo(code=code.value, params=params, detail=trace)


def _known(e: BaseException) -> tuple[ErrorCode, dict[str, str | int | float]]:
    text = _first_line(e)
    if isinstance(e, MemoryError) or type(e).__name__ == "OutOfMemoryError":
        return ErrorCode.TRAIN_OUT_OF_MEMORY, {"detail": text}
    if isinstance(e, ModuleNotFoundError):
        return ErrorCode.RUNTIME_INCOMPLETE, {"missing": e.name or text}
    if isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT):
        return ErrorCode.DISK_FULL, {"path": str(e.filename or "")}
    if isinstance(e, OSError) and e.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return ErrorCode.FOLDER_READ_ONLY, {"path": str(e.filename or "")}
    return ErrorCode.INTERNAL, {"detail": text}


def _first_line(e: BaseException) -> str:
    lines = str(e).strip().splitlines()
    return f"{type(e).__name__}: {lines[0]}" if lines else type(e).__name__
