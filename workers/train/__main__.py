"""`python -m workers.train <run folder>`."""

from __future__ import annotations

import sys

from workers.harness import run_worker
from workers.train.checkpoint_files import newest_step
from workers.train.recipe import train

if __name__ == "__main__":
    sys.exit(run_worker("train", train, find_resume_step=newest_step))
