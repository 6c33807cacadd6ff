"""A worker that does nothing until it is told to stop, in the real harness."""

from __future__ import annotations

import sys
import time
from typing import Any

from workers.harness.context import WorkerContext
from workers.harness.entry import run_worker


def sleep(context: WorkerContext) -> dict[str, Any]:
    context.reporter.phase("downloading", 0.5)
    while not context.stop_requested:
        time.sleep(0.05)
    return {}


if __name__ == "__main__":
    sys.exit(run_worker("fetch", sleep))
