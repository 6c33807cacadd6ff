"""Several processes that agree: one value for all, one stop for all, at the same step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.distributed as dist

from core.protocol.commands import Command
from workers.harness.context import WorkerContext
from workers.harness.control import Control, StopRequest
from workers.harness.team import Team
from workers.train.parallel.seat import Seat

T = TypeVar("T")


class ProcessTeam(Team):
    """Talks over gloo on the host, so that no card is waited for.

    Args:
        seat: of this process.
        ctx: its stop and control are replaced at `begin`.
        data_split: whether each process has samples of its own.
        in_step: see `Team`.
    """

    def __init__(self, seat: Seat, ctx: WorkerContext, *, data_split: bool, in_step: bool) -> None:
        self.rank, self.size = seat.rank, seat.world_size
        if data_split:
            self.data_rank, self.data_size = seat.rank, seat.world_size
        self.in_step = in_step
        self._ctx = ctx
        self._heard = ctx.stop
        self._agreed = StopRequest()

    def share(self, value: T) -> T:
        """See `Team`. Any value that can be pickled; the processes are all ours."""
        box = [value if self.is_main else None]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]  # type: ignore[return-value]

    def total(self, values: Sequence[float]) -> list[float]:
        """See `Team`. Slices of one model have the same samples, so the same values."""
        if self.data_size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums)
        return sums.tolist()

    def agree(self) -> None:
        """See `Team`."""
        self._exchange(0)

    def begin(self) -> None:
        """All are prepared: from here on a stop or a command is obeyed at the same point."""
        self._ctx.control = TeamControl(self._ctx.control, self)
        self._ctx.stop = self._agreed
        self.agree()

    def commands(self, heard: list[Command]) -> list[Command]:
        """What the main process heard, in all of them, together with a stop. A meeting."""
        return self.share(heard) if self._exchange(len(heard)) else []

    def _exchange(self, commands: int) -> int:
        """One small message a step; the number of commands that will follow."""
        stop = self._heard
        news = torch.tensor([commands, stop.asked, stop.save, stop.reason == "signal"])
        dist.broadcast(news, src=0)
        number, asked, save, by_signal = news.tolist()
        if asked:
            reason = "signal" if by_signal else "stop_requested"
            self._agreed.ask(reason, save=bool(save))
        return int(number)


class TeamControl(Control):
    """Commands reach all processes between the same two steps; the main one answers."""

    def __init__(self, heard: Control, team: ProcessTeam) -> None:
        self._heard = heard
        self._team = team

    def poll(self) -> list[Command]:
        """See `Control`. A meeting: all must call it."""
        return self._team.commands(self._heard.poll())

    def acknowledge(self, command: Command, accepted: bool = True, detail: str = "") -> None:
        """See `Control`."""
        self._heard.acknowledge(command, accepted, detail)

    def refresh(self) -> None:
        """See `Control`."""
        self._heard.refresh()
