"""What every worker process shares: the way in, the voice, the ear and the pulse."""

from workers.harness.context import WorkerContext
from workers.harness.control import Control
from workers.harness.entry import run_worker
from workers.harness.reporter import Reporter

__all__ = ["Control", "Reporter", "WorkerContext", "run_worker"]
