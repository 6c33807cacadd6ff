"""The worker's ear: commands of faces from `control.jsonl`, and signals of the system."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from core.protocol.codec import BadLine, decode_command
from core.protocol.commands import Command, StopCommand, UnknownCommand
from core.protocol.events import CommandAcknowledged
from workers.harness.reporter import Reporter


class StopRequest:
    """Whether, why and how to stop. Asking again is harmless.

    A plain flag, no lock: a signal handler may interrupt the very code that holds a lock.
    """

    def __init__(self) -> None:
        self._asked = False
        self.reason = ""
        """"stop_requested" (a command) or "signal"."""
        self.save = True
        """Whether a checkpoint is wanted before the end."""

    def ask(self, reason: str, *, save: bool = True) -> None:
        """Ask to stop; the first reason stays, a later "do not save" counts."""
        if not self._asked:
            self.reason = reason
        self.save = self.save and save
        self._asked = True

    @property
    def asked(self) -> bool:
        """Cheap enough for every micro-step."""
        return self._asked

    def wait(self, timeout_s: float) -> bool:
        """Sleep until asked or until the time is over; true when asked."""
        deadline = time.monotonic() + timeout_s
        while not self._asked and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
        return self._asked


class Control:
    """Reads new commands. A stop command is obeyed and acknowledged here, also mid-load.

    `poll` hands every known command to the recipe once, stop included; the recipe acknowledges
    what it did. Commands this worker does not know are refused by name.
    """

    def __init__(self, path: Path, reporter: Reporter, stop: StopRequest) -> None:
        self._path = path
        self._reporter = reporter
        self._stop = stop
        self._lock = threading.Lock()
        self._offset = 0
        self._inbox: list[Command] = []
        self._answered: set[str] = set()

    def poll(self) -> list[Command]:
        """Commands that came since the last call, in order. Never raises, never waits."""
        self.refresh()
        with self._lock:
            new, self._inbox = self._inbox, []
        return new

    def acknowledge(self, command: Command, accepted: bool = True, detail: str = "") -> None:
        """Answer a command; a second answer to the same command is not said."""
        with self._lock:
            if command.command_id in self._answered:
                return
            self._answered.add(command.command_id)
        self._reporter.emit(
            CommandAcknowledged(
                command=command.kind,
                accepted=accepted,
                detail=detail,
                in_reply_to=command.command_id,
            )
        )

    def refresh(self) -> None:
        """Take new whole lines in. Called by the pulse thread too, so a busy recipe is heard."""
        with self._lock:
            commands = [c for line in self._new_lines() if (c := _decode(line)) is not None]
        for command in commands:
            self._receive(command)

    def _receive(self, command: Command) -> None:
        if isinstance(command, UnknownCommand):
            self.acknowledge(command, accepted=False, detail="unknown command")
            return
        if isinstance(command, StopCommand):
            self._stop.ask("stop_requested", save=command.save)
            self.acknowledge(command)
        with self._lock:
            self._inbox.append(command)

    def _new_lines(self) -> list[bytes]:
        try:
            with self._path.open("rb") as f:
                f.seek(self._offset)
                data = f.read()
        except OSError:  # no command yet, or the folder is gone: nothing to hear either way
            return []
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        return data[:whole].splitlines()


def _decode(line: bytes) -> Command | None:
    try:
        return decode_command(line)
    except BadLine:
        return None
