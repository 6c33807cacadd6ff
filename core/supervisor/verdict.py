"""What a supervisor says of a worker that died without its last word."""

from __future__ import annotations

import contextlib
import signal as signals
import time
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from core import atomic_io
from core.errors import AppError, ErrorCode, ErrorInfo, Param
from core.protocol.exit_codes import EXIT_DISK_FULL, EXIT_NO_EVENTS
from core.runlog.run_dir import RunDir
from core.supervisor.stop_ladder import StopLadder

Reason = Literal[
    "stopped_by_force", "out_of_memory", "killed", "crashed", "exited", "never_started",
    "disk_full", "events_unwritable", "gone",
]  # fmt: skip

_LOG_TAIL_BYTES = 8 * 1024
_LOG_TAIL_LINES = 40
_CRASHES = frozenset({"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"})


@dataclass(frozen=True)
class Verdict:
    """The end of a worker as seen from outside. The outcome is always "lost"."""

    reason: str
    """One of `Reason`; a plain string so that older windows read newer verdicts."""
    exit_code: int | None = None
    """None when the worker was not our child: then nobody can know."""
    signal: str | None = None
    """For example "SIGKILL"."""
    detail: str = ""
    log_tail: str = ""
    """The last lines of `output.log`, for people."""
    time_utc: float = 0.0
    stop_steps: tuple[dict[str, Any], ...] = ()
    """Rungs of the stop ladder that were taken, each with its reason."""
    outcome: str = "lost"
    v: int = 1

    def error(self, run_id: str) -> ErrorInfo:
        """The verdict as the error that a face shows."""
        code, params = ErrorCode.WORKER_LOST, {"run_id": run_id, "detail": self.detail}
        if self.reason == "disk_full":
            code = ErrorCode.DISK_FULL
        elif self.reason == "never_started":
            code, params = ErrorCode.WORKER_START_FAILED, {"detail": self.detail}
        facts: dict[str, Param] = {**params, "reason": self.reason}
        return ErrorInfo(code=code.value, params=facts, detail=self.log_tail)

    def write(self, run: RunDir) -> None:
        """Keep the verdict; a folder that is gone, full or read-only is not made worse."""
        if run.path.is_dir():
            with contextlib.suppress(AppError, OSError):
                atomic_io.write_json(run.verdict_json, asdict(self))

    @classmethod
    def read(cls, run: RunDir) -> Verdict | None:
        """The verdict on disk, if there is a readable one."""
        try:
            found = atomic_io.read_json(run.verdict_json)
            known = {f.name for f in fields(cls)}
            kept = {k: v for k, v in found.items() if k in known}
            return cls(**{**kept, "stop_steps": tuple(kept.get("stop_steps", ()))})
        except (AppError, OSError, AttributeError, TypeError):
            return None


def judge(
    run: RunDir,
    *,
    exit_code: int | None,
    ladder: StopLadder | None = None,
    started: bool = True,
    oom_struck: bool = False,
) -> Verdict:
    """Say what happened to a dead worker.

    Args:
        run: its folder.
        exit_code: as of `Popen`, negative for a signal; None when we are not its parent.
        ladder: the stop ladder, if one was being climbed.
        started: whether it ever said `run.started` in this life.
        oom_struck: whether the kernel's OOM killer struck since the worker was started.
    """
    name = _signal_name(exit_code)
    log_tail = _log_tail(run)
    reason = _reason(exit_code, name, ladder, started=started, oom_struck=oom_struck)
    return Verdict(
        reason=reason,
        exit_code=exit_code,
        signal=name,
        detail=_detail(reason, exit_code, name, log_tail),
        log_tail=log_tail,
        time_utc=time.time(),
        stop_steps=tuple(s.as_document() for s in ladder.steps) if ladder else (),
    )


def _reason(
    exit_code: int | None,
    name: str | None,
    ladder: StopLadder | None,
    *,
    started: bool,
    oom_struck: bool,
) -> Reason:
    if ladder is not None and ladder.killed:
        return "stopped_by_force"
    if exit_code == EXIT_DISK_FULL:
        return "disk_full"
    if exit_code == EXIT_NO_EVENTS:
        return "events_unwritable"
    if oom_struck and name in ("SIGKILL", None):
        return "out_of_memory"
    if name is not None:
        return "crashed" if name in _CRASHES else "killed"
    if not started:
        return "never_started"
    return "gone" if exit_code is None else "exited"


def _detail(reason: Reason, exit_code: int | None, name: str | None, log_tail: str) -> str:
    if reason in ("never_started", "exited", "events_unwritable") and log_tail:
        return log_tail.splitlines()[-1][:300]
    if name is not None:
        return name
    return "exit code unknown" if exit_code is None else f"exit code {exit_code}"


def _signal_name(exit_code: int | None) -> str | None:
    if exit_code is None or exit_code >= 0:
        return None
    try:
        return signals.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def _log_tail(run: RunDir) -> str:
    try:
        with run.output_log.open("rb") as f:
            size = f.seek(0, 2)
            f.seek(max(0, size - _LOG_TAIL_BYTES))
            text = f.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-_LOG_TAIL_LINES:]).strip()
