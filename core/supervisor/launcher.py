"""Starts workers as plain processes: own session, output to a file, no pipe to the face.

An unread pipe blocks a worker after 64 KiB and a broken one kills it; a file does neither, so a
worker outlives the face that started it.
"""

from __future__ import annotations

import subprocess
import sys
from typing import IO, Any, Protocol

from core import atomic_io
from core.errors import AppError, ErrorCode
from core.protocol.events import PROTOCOL_VERSION
from core.supervisor.identity import ProcessIdentity
from core.supervisor.oom import oom_kills
from core.supervisor.worker_spec import WorkerSpec


class Launcher(Protocol):
    """How a worker comes to life, and what its parent learns of its end."""

    def launch(self, spec: WorkerSpec) -> ProcessIdentity:
        """Start the worker and write `process.json`.

        Raises:
            AppError: `worker.start_failed`, `disk.full` or `folder.read_only`; nothing runs then.
        """
        ...

    def exit_code(self, identity: ProcessIdentity) -> int | None:
        """Exit code of an ended child (negative: the signal), which also reaps it. None while it
        runs, or when it is not a child of this process.
        """
        ...


class LocalLauncher:
    """Starts workers on this machine."""

    def __init__(self) -> None:
        self._children: dict[ProcessIdentity, subprocess.Popen[bytes]] = {}

    def launch(self, spec: WorkerSpec) -> ProcessIdentity:
        """See `Launcher`."""
        with atomic_io.disk_errors(spec.run.path), spec.run.output_log.open("ab") as log:
            child = _spawn(spec, log)
        try:
            identity = ProcessIdentity.of(child.pid) or ProcessIdentity(child.pid, 0.0)
            document = {
                "v": PROTOCOL_VERSION,
                **identity.as_document(),
                "executable": str(spec.python),
                "module": spec.module,
                "oom_kills": oom_kills(),
            }
            atomic_io.write_json(spec.run.process_json, document)
        except BaseException:
            child.kill()  # a worker that nobody could find again must not run
            child.wait()
            raise
        self._children[identity] = child
        return identity

    def exit_code(self, identity: ProcessIdentity) -> int | None:
        """See `Launcher`."""
        child = self._children.get(identity)
        return None if child is None else child.poll()


def _spawn(spec: WorkerSpec, log: IO[bytes]) -> subprocess.Popen[bytes]:
    common: dict[str, Any] = {
        "cwd": spec.run.path,
        "env": spec.env,
        "stdin": subprocess.DEVNULL,
        "stdout": log,
        "stderr": subprocess.STDOUT,
        "close_fds": True,
    }
    try:
        if sys.platform == "win32":
            return _spawn_windows(spec, common)
        return subprocess.Popen(spec.command, start_new_session=True, **common)
    except OSError as e:
        raise AppError(ErrorCode.WORKER_START_FAILED, detail=str(e)) from e


def _spawn_windows(spec: WorkerSpec, common: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Not run on this project's Linux machines. Breaks away from a job object that would end the
    worker with the face; where the job forbids that, the worker is at least in its own group.
    """
    flags = 0x00000200 | 0x08000000  # CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW
    try:
        return subprocess.Popen(spec.command, creationflags=flags | 0x01000000, **common)
    except PermissionError:
        return subprocess.Popen(spec.command, creationflags=flags, **common)
