"""Starts the processes of a run and answers for them.

The same contract as torchrun's (its environment variables, one process a GPU, one lost is all
lost), without its agent, for three reasons: the agent puts every process into a session of its
own, where neither the stop ladder nor the supervisor's search for orphans reaches it; it gives a
process that waits in a collective 30 s before it kills it; and it imports torch, seconds before
the run could say a word. Elasticity, what the agent is for, is of no use here: a run goes on from
its checkpoint. `torchrun -m workers.train <run folder>` works all the same, see docs/multi-gpu.md.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from core.config.parallel import ParallelSpec
from core.errors import AppError, ErrorCode, ErrorInfo
from core.protocol.codec import BadLine, decode_event
from core.protocol.events import RunFinished
from core.protocol.exit_codes import EXIT_FAILED, EXIT_NO_EVENTS, EXIT_OK
from core.runlog.run_dir import RunDir
from core.runlog.writer import EventWriter
from workers.train.parallel.seat import LAUNCHER_PID, STORE_FD

log = logging.getLogger(__name__)

EXIT_PEER_LOST = 76
"""A process ends with it when it was another one that failed."""
LOOK_EVERY_S = 0.05
OWN_WORDS_S = 3.0
"""A process failed with an error of its own: the others have so long to say theirs."""
LEAVE_S = 20.0
"""The main process has ended well: the others have so long to end, too."""
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}


def launch(run: RunDir, parallel: ParallelSpec) -> int:
    """Start this machine's processes, wait for them, and return the exit code of the run.

    The main process says `run.started` and `run.finished`. Only when it could not, because a
    process was lost, the last word is said here: `worker.rank_lost`.
    """
    clear_errors(run)
    spoken_bytes = _size(run.events)
    with _meeting_point(parallel) as (address, port, listener):
        crew = Crew(run, parallel)
        with _passed_on(crew):
            crew.start(address, port, listener)
            if listener is not None:
                listener.close()
            crew.wait()
    code = crew.exit_code
    if parallel.node_rank != 0 or _last_word_said(run, spoken_bytes):
        return code
    return _speak_for_the_dead(run, crew, code)


class Crew:
    """The processes of this machine."""

    def __init__(self, run: RunDir, parallel: ParallelSpec) -> None:
        self._run = run
        self._parallel = parallel
        self._first = parallel.node_rank * parallel.nproc_per_node
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self.world_size = parallel.world_size
        """Of all machines."""
        self.lost: dict[int, int] = {}
        """Exit codes by rank of the processes that failed of themselves, first of all."""

    def start(self, address: str, port: int, listener: socket.socket | None) -> None:
        """Start all; in the launcher's own session and group, so that what ends it ends them."""
        for local_rank in range(self._parallel.nproc_per_node):
            rank = self._first + local_rank
            fds = (listener.fileno(),) if listener is not None and rank == 0 else ()
            self._children[rank] = subprocess.Popen(
                [sys.executable, "-m", "workers.train", str(self._run.path), "--rank", str(rank)],
                env=self._environment(local_rank, address, port, fds),
                stdin=subprocess.DEVNULL,
                pass_fds=fds,
            )

    def wait(self) -> None:
        """Until all have ended, by themselves or because one was lost."""
        while self._living():
            time.sleep(LOOK_EVERY_S)
            self.lost = self._failed()  # before others are ended, who did not fail of themselves
            if self.lost:
                # A killed process leaves nothing to wait for; one that failed may not be alone.
                self._end_within(OWN_WORDS_S if self._said_why() else OWN_WORDS_S / 6)
            elif not self._main_lives():
                self._end_within(LEAVE_S)

    def _failed(self) -> dict[int, int]:
        codes = {rank: child.poll() or EXIT_OK for rank, child in self._children.items()}
        return {r: c for r, c in codes.items() if c not in (EXIT_OK, EXIT_PEER_LOST)}

    @property
    def exit_code(self) -> int:
        """The main process's, where it is here and has one of ours; else whether all went well."""
        main = self._children.get(0)
        if main is not None and main.returncode is not None and main.returncode >= 0:
            return EXIT_FAILED if main.returncode == EXIT_PEER_LOST else main.returncode
        return EXIT_FAILED if any(c.returncode for c in self._children.values()) else EXIT_OK

    def tell(self, number: int) -> None:
        """Pass a signal on; who hears it makes it known to all."""
        for child in self._living():
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)

    def _living(self) -> list[subprocess.Popen[bytes]]:
        return [child for child in self._children.values() if child.poll() is None]

    def _main_lives(self) -> bool:
        main = self._children.get(0)
        return main is None or main.poll() is None

    def _said_why(self) -> bool:
        return all(read_error(self._run, rank) for rank in self.lost)

    def _end_within(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        while self._living() and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)
        for child in self._living():
            child.kill()
        for child in self._children.values():
            child.wait()

    def _environment(
        self, local_rank: int, address: str, port: int, fds: tuple[int, ...]
    ) -> dict[str, str]:
        parallel = self._parallel
        ours = {
            "RANK": self._first + local_rank,
            "LOCAL_RANK": local_rank,
            "WORLD_SIZE": parallel.world_size,
            "LOCAL_WORLD_SIZE": parallel.nproc_per_node,
            "GROUP_RANK": parallel.node_rank,
            "MASTER_ADDR": address,
            "MASTER_PORT": port,
            "TORCHELASTIC_RUN_ID": parallel.rdzv_id or self._run.run_id,
            LAUNCHER_PID: os.getpid(),
            **({STORE_FD: fds[0]} if fds else {}),
        }
        threads = str(max(1, (os.cpu_count() or 1) // parallel.nproc_per_node))
        defaults = {"OMP_NUM_THREADS": threads}
        if parallel.nnodes == 1 and sys.platform in _LOOPBACK:
            defaults["GLOO_SOCKET_IFNAME"] = _LOOPBACK[sys.platform]  # nothing for the network
        return {**defaults, **os.environ, **{name: str(value) for name, value in ours.items()}}


def error_file(run: RunDir, rank: int) -> Path:
    """Where a process that does not speak leaves the reason of its failure."""
    return run.path / f"rank-{rank}-error.json"


def read_error(run: RunDir, rank: int) -> ErrorInfo | None:
    """The reason that a process left."""
    try:
        return ErrorInfo.model_validate(json.loads(error_file(run, rank).read_text("utf-8")))
    except (OSError, ValueError):
        return None


def clear_errors(run: RunDir) -> None:
    """Forget the reasons of an earlier life."""
    for file in run.path.glob("rank-*-error.json"):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def _meeting_point(parallel: ParallelSpec) -> Iterator[tuple[str, int, socket.socket | None]]:
    """Address and port, and on a single machine a socket that listens there already."""
    if parallel.rdzv_endpoint:
        host, _, port = parallel.rdzv_endpoint.rpartition(":")
        yield host, int(port), None
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port_now = listener.getsockname()[1]
        if sys.platform == "win32":  # sockets cannot be handed on there
            listener.close()
            yield "127.0.0.1", port_now, None
            return
        listener.listen(128)
        yield "127.0.0.1", port_now, listener


@contextlib.contextmanager
def _passed_on(crew: Crew) -> Iterator[None]:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        crew.tell(number)

    numbers = [signal.SIGTERM, signal.SIGINT]
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _speak_for_the_dead(run: RunDir, crew: Crew, code: int) -> int:
    error = _reason(run, crew)
    if error is None:
        return code
    try:
        with EventWriter(run.events, run.run_id) as writer:
            writer.write(RunFinished(outcome="failed", reason="error", error=error))
    except (AppError, OSError) as e:
        log.error("the end of the run cannot be written: %s", e)
        return EXIT_NO_EVENTS
    return EXIT_FAILED


def _reason(run: RunDir, crew: Crew) -> ErrorInfo | None:
    """Why the run ended; None when the main process's own exit code tells it already."""
    lost = crew.lost
    killed = {rank: code for rank, code in lost.items() if code < 0}
    for rank in sorted(lost):
        if (said := read_error(run, rank)) is not None:
            return said
    if killed or (lost and 0 not in lost):
        rank, code = next(iter(sorted((killed or lost).items())))
        return _info(
            ErrorCode.WORKER_RANK_LOST, rank=rank, world_size=crew.world_size, detail=_how(code)
        )
    if not lost:
        return _info(ErrorCode.WORKER_RANKS_APART, detail="the connection to another machine ended")
    return None


def _info(code: ErrorCode, **params: Any) -> ErrorInfo:
    return ErrorInfo(code=code.value, params=params)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _last_word_said(run: RunDir, since: int) -> bool:
    """Whether the main process said `run.finished` in this life."""
    try:
        with run.events.open("rb") as f:
            f.seek(since)
            lines = f.read().splitlines()
        return bool(lines) and isinstance(decode_event(lines[-1]), RunFinished)
    except (OSError, BadLine):
        return False
