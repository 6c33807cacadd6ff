"""A process's place among the others: the environment variables of torchrun
(https://docs.pytorch.org/docs/stable/elastic/run.html), so that it, too, can start a run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

LAUNCHER_PID = "DEEPDECK_LAUNCHER_PID"
"""Set by our own launcher, which speaks the last word when a process is lost."""
STORE_FD = "DEEPDECK_STORE_FD"
"""Socket that the launcher listens on already: nobody can take the port in between."""
_NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK")
_ONE_VISIBLE_CARD = "0"


@dataclass(frozen=True)
class Seat:
    """Where this process sits."""

    rank: int
    local_rank: int
    world_size: int
    address: str
    port: int
    launcher_pid: int
    """Who must be alive: our launcher or torchrun's agent."""
    ours: bool
    """Whether it is our launcher."""

    @classmethod
    def taken(cls) -> Seat | None:
        """The seat that the environment names; None for a process that is alone."""
        if "RANK" not in os.environ:
            return None
        env = os.environ
        return cls(
            rank=int(env["RANK"]),
            local_rank=int(env.get("LOCAL_RANK", "0")),
            world_size=int(env["WORLD_SIZE"]),
            address=env.get("MASTER_ADDR", "127.0.0.1"),
            port=int(env.get("MASTER_PORT", "29500")),
            launcher_pid=int(env.get(LAUNCHER_PID, os.getppid())),
            ours=LAUNCHER_PID in env,
        )

    def device(self, wanted: str) -> str:
        """The card of this process, as `show_only` takes it."""
        return f"cuda:{self.local_rank}" if wanted in ("auto", "cuda") else wanted


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """Libraries that look into the environment find a single process in here.

    accelerate would build a process group and wrap models of its own otherwise.
    """
    kept = {name: os.environ.pop(name) for name in _NAMES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextlib.contextmanager
def shown(rank: int, world_size: int) -> Iterator[None]:
    """Libraries that look into the environment find this process's place in here.

    The card's number is 0 for all: each process sees its own card only.
    """
    before = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    os.environ["RANK"], os.environ["WORLD_SIZE"] = str(rank), str(world_size)
    os.environ["LOCAL_RANK"] = _ONE_VISIBLE_CARD
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
