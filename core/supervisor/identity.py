"""Who a worker is: a pid alone is reused by the system, a pid with its creation time is not.

A creation time in seconds of the epoch moves when the clock is set or the machine was asleep
(psutil derives it from the boot time), and a living worker would be taken for dead. So on Linux
the kernel's own start mark, clock ticks since a named boot, decides where both sides know it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

# psutil rounds creation times to clock ticks (0.01 s) and derives them from the boot time, which
# the system may adjust by some milliseconds between two readings.
_SAME_TIME_S = 0.05
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class ProcessIdentity:
    """One process for good."""

    pid: int
    create_time: float
    """Seconds since the epoch."""
    executable: str = ""
    start_mark: str = ""
    """Boot id and start in clock ticks since then; empty where the system has no such thing."""

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """The living process with this pid, or None. A pid of 1 or less is nobody's worker."""
        if pid <= 1:
            return None
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                if process.status() == psutil.STATUS_ZOMBIE:
                    return None
                created, executable = process.create_time(), _executable(process)
            return cls(pid, created, executable, _start_mark(pid))
        except psutil.Error:
            return None

    def is_alive(self) -> bool:
        """Whether this very process still runs. A zombie is dead."""
        if self.start_mark:  # one small file: this is asked ten times a second
            return self.pid > 1 and _start_mark(self.pid) == self.start_mark
        found = ProcessIdentity.of(self.pid)
        return found is not None and abs(found.create_time - self.create_time) < _SAME_TIME_S

    def terminate(self) -> bool:
        """Ask this process, and no other, to end; false when it is not there any more."""
        if not self.is_alive():
            return False
        return _send(self.pid, signal.SIGTERM)

    def kill_group(self) -> bool:
        """End this process and all that it started, at once; false when it is not there any more.

        The group is signaled only while the worker itself leads it, as our launcher arranges.
        """
        if not self.is_alive():
            return False
        if sys.platform == "win32":
            return _kill_tree(self.pid)
        try:
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, signal.SIGKILL)
                return True
        except ProcessLookupError:
            return False
        return _send(self.pid, signal.SIGKILL)

    def kill_orphans(self) -> int:
        """End what a dead worker left running in its session; returns how many.

        The kernel never gives a pid away that still names a session, so as long as no other
        process holds the pid, members of that session are the worker's children.
        """
        if sys.platform == "win32" or self.pid <= 1 or psutil.pid_exists(self.pid):
            return 0
        orphans = [pid for pid in psutil.pids() if pid > 1 and _session(pid) == self.pid]
        return sum(_send(pid, signal.SIGKILL) for pid in orphans)

    def as_document(self) -> dict[str, Any]:
        """For `process.json`."""
        return {
            "pid": self.pid,
            "create_time": self.create_time,
            "executable": self.executable,
            "start_mark": self.start_mark,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> ProcessIdentity | None:
        """From `process.json`; None when it does not name a process."""
        try:
            pid, created = int(document["pid"]), float(document["create_time"])
        except (KeyError, TypeError, ValueError):
            return None
        if pid <= 1:
            return None
        words = (str(document.get(key, "")) for key in ("executable", "start_mark"))
        return cls(pid, created, *words)


def find_worker(run_folder: Path) -> ProcessIdentity | None:
    """A living process whose command line ends in this run folder.

    For the case that a face was killed in the moment between starting a worker and writing down
    who it is.
    """
    wanted = str(run_folder)
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if len(line) >= 4 and line[-1] == wanted and line[-3] == "-m":
            return ProcessIdentity.of(process.pid)
    return None


def _executable(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return str(process.exe())
    return ""


def _start_mark(pid: int) -> str:
    """Empty for a process that is gone or a zombie, and on systems without /proc."""
    try:
        boot = _boot_id()
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The second field is the name in parentheses and may hold anything; behind it come the state
    # (field 3) and the start in ticks (field 22), see proc_pid_stat(5).
    fields = line.rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in ("Z", "X", "x"):
        return ""
    return f"{boot}:{fields[19]}"


@functools.cache
def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _send(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _kill_tree(pid: int) -> bool:
    """Windows has no process groups to kill: children first, then the worker."""
    try:
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
    except psutil.Error:
        return False
    for member in family:
        with contextlib.suppress(psutil.Error):
            member.kill()
    return True
