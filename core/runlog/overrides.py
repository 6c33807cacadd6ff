"""What of a run's spec was changed after it was made, beside `run.json`, which is never changed.

`overrides.json`: `{"v": 1, "changes": {...}, "history": [{"step", "code", "changes"}, ...]}`.
Written by the worker when it saves itself from running out of memory, or by the service before it
starts the worker again; never by both, for there is one worker and it is gone by then.
"""

from __future__ import annotations

from typing import Any

from core import atomic_io
from core.config.presets import merge
from core.errors import AppError, ErrorCode
from core.runlog.run_dir import RunDir


def read_changes(run: RunDir) -> dict[str, Any]:
    """All changes so far as one, nested as in `run.json`.

    Raises:
        AppError: `file.damaged`: going on without them might run out of memory again, or worse.
    """
    changes = _read(run).get("changes", {})
    if not isinstance(changes, dict):
        raise _damaged(run)
    return changes


def add_changes(run: RunDir, changes: dict[str, Any], *, code: str, step: int) -> None:
    """Change the run's spec from now on.

    Args:
        run: the run.
        changes: fields of the spec.
        code: why: the code of a rung, or "user".
        step: where the run stood.

    Raises:
        AppError: `disk.full`, `folder.read_only`, `file.damaged`.
    """
    known = _read(run)
    history = known.get("history", [])
    entry = {"step": step, "code": code, "changes": changes}
    document = {
        "v": 1,
        "changes": merge(known.get("changes", {}), changes),
        "history": [*(history if isinstance(history, list) else []), entry],
    }
    atomic_io.write_json(run.overrides, document)


def effective_spec(run: RunDir, document: dict[str, Any] | None = None) -> dict[str, Any]:
    """The spec of `run.json` with what was changed since.

    Raises:
        AppError: `file.damaged`.
    """
    document = run.document() if document is None else document
    spec = document.get("spec", {})
    return merge(spec if isinstance(spec, dict) else {}, read_changes(run))


def _read(run: RunDir) -> dict[str, Any]:
    if not run.overrides.exists():
        return {}
    found = atomic_io.read_json(run.overrides)
    if not isinstance(found, dict):
        raise _damaged(run)
    return found


def _damaged(run: RunDir) -> AppError:
    return AppError(ErrorCode.FILE_DAMAGED, path=str(run.overrides), detail="not an object")
