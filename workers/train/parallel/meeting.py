"""The process group, from joining to leaving; and what it means when one of it is missing."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from datetime import timedelta

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from core.config.combinations import SHARDED
from core.config.train import TrainSpec
from core.errors import AppError, ErrorCode, UsageError
from workers.harness.context import WorkerContext
from workers.train.parallel.launcher import OWN_WORDS_S
from workers.train.parallel.rank import Signaled
from workers.train.parallel.seat import STORE_FD, Seat, hidden
from workers.train.parallel.team import ProcessTeam
from workers.train.parallel.watch import Watch

log = logging.getLogger(__name__)

_JOIN_S = 300.0
"""Machines are started by hand, one after the other."""
_ENDED_BY_LAUNCHER_S = OWN_WORDS_S + 7.0
_LOST_WORDS = ("gloo", "connection closed by peer", "connection reset", "nccl", "broken pipe")


@contextlib.contextmanager
def together(ctx: WorkerContext, spec: TrainSpec, device: str) -> Iterator[None]:
    """Join the other processes of the run, if there are any, and leave them in the end.

    Args:
        ctx: gets its team.
        spec: of the run.
        device: "cpu" or "cuda", of this process.

    Raises:
        UsageError: `input.bad_value` when another number of processes was started than the spec
            says.
        AppError: `worker.ranks_apart` when others cannot be reached any more.
    """
    seat = Seat.taken()
    if seat is None:
        yield
        return
    _check(seat, spec)
    signaled = Signaled() if seat.rank else lambda: False
    with hidden(), _told_apart(seat):
        store = _join(seat, spec, device)
        ctx.team = _team(ctx, seat, spec)
        heard = ctx.stop
        watch = Watch(seat, _connect(seat), signaled, lambda: heard.ask("signal"))
        watch.start()
        try:
            ctx.resumed_from_step = ctx.team.share(ctx.resumed_from_step)
            yield
            ctx.team.share(None)  # nobody closes the door while another is still inside
            dist.destroy_process_group()
        finally:
            watch.leave()
            del store


def _check(seat: Seat, spec: TrainSpec) -> None:
    wanted = spec.parallel.world_size
    if seat.world_size != wanted:
        raise UsageError(
            ErrorCode.BAD_VALUE,
            field="parallel.nproc_per_node",
            value=str(seat.world_size),
            detail=f"{seat.world_size} processes were started, the run is for {wanted}",
        )


def _team(ctx: WorkerContext, seat: Seat, spec: TrainSpec) -> ProcessTeam:
    strategy = spec.parallel.strategy
    return ProcessTeam(
        seat,
        ctx,
        data_split=spec.parallel.data_ranks > 1,
        in_step=strategy in SHARDED or strategy == "tp",
    )


def _join(seat: Seat, spec: TrainSpec, device: str) -> Store:
    """The store, which must live as long as the group."""
    hosts = seat.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    descriptor = os.environ.pop(STORE_FD, None)
    store = TCPStore(
        seat.address,
        seat.port,
        seat.world_size,
        is_master=hosts,
        timeout=timedelta(seconds=_JOIN_S),
        wait_for_workers=False,
        master_listen_fd=int(descriptor) if descriptor and hosts else None,
    )
    dist.init_process_group(
        "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl",
        store=PrefixStore("deepdeck", store),
        rank=seat.rank,
        world_size=seat.world_size,
        timeout=timedelta(seconds=spec.parallel.collective_timeout_s),
        device_id=None if device == "cpu" else torch.device("cuda", 0),
    )
    return store


def _connect(seat: Seat) -> Store:
    """A second connection, for the watch: the first one is busy while a collective waits."""
    return TCPStore(
        seat.address,
        seat.port,
        is_master=False,
        timeout=timedelta(seconds=_JOIN_S),
        wait_for_workers=False,
    )


@contextlib.contextmanager
def _told_apart(seat: Seat) -> Iterator[None]:
    """A failed collective is the fault of another process: say that, and only that.

    Our launcher knows which one it was and ends this process in a moment; without it, or when the
    other one is on another machine, this process speaks.
    """
    try:
        yield
    except RuntimeError as e:
        if not is_peer_loss(e):
            raise
        log.error("a collective failed: %s", e)
        if seat.ours and seat.rank == 0:
            time.sleep(_ENDED_BY_LAUNCHER_S)
        detail = str(e).splitlines()[0][:300]
        raise AppError(ErrorCode.WORKER_RANKS_APART, detail=detail) from e


def is_peer_loss(e: BaseException) -> bool:
    """Whether an error says that another process is gone, or does not answer."""
    if isinstance(e, dist.DistError):
        return True
    text = str(e).lower()
    return isinstance(e, RuntimeError) and any(words in text for words in _LOST_WORDS)
