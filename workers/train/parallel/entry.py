"""What this process is: the only one of its run, the launcher of several, or one of those."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from core.config.parallel import ParallelSpec
from core.errors import AppError
from core.runlog.overrides import effective_spec
from core.runlog.run_dir import RunDir
from workers.harness import run_worker
from workers.train.checkpoint_files import newest_step
from workers.train.parallel.launcher import launch
from workers.train.parallel.rank import leave_quickly, run_rank
from workers.train.parallel.seat import Seat
from workers.train.parallel.watch import die_with
from workers.train.recipe import train


def run_training(argv: list[str] | None = None) -> int:
    """The exit code of `python -m workers.train <run folder>`."""
    arguments = sys.argv[1:] if argv is None else argv
    folder = Path(arguments[0])
    seat = Seat.taken()
    if seat is None:
        parallel = _parallel(RunDir(folder))
        if parallel.world_size > 1:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s launcher %(message)s")
            return launch(RunDir(folder), parallel)
        return run_worker("train", train, find_resume_step=newest_step, argv=arguments)
    die_with(seat.launcher_pid)
    if seat.rank:
        leave_quickly(run_rank(folder, seat, train))
    return run_worker(
        "train", train, find_resume_step=newest_step, argv=arguments, pid=seat.launcher_pid
    )


def _parallel(run: RunDir) -> ParallelSpec:
    """One process for a run that cannot be read: it will say why."""
    try:
        return ParallelSpec.parse(effective_spec(run, run.document()).get("parallel", {}))
    except (AppError, AttributeError, OSError):
        return ParallelSpec()
