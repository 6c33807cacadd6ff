"""`python -m workers.train <run folder>`."""

from __future__ import annotations

import sys

from workers.train.parallel.entry import run_training

if __name__ == "__main__":
    sys.exit(run_training())
