"""`python -m workers.preview <run folder>`."""

from __future__ import annotations

import sys

from workers.harness import run_worker
from workers.preview.recipe import preview

if __name__ == "__main__":
    sys.exit(run_worker("preview", preview))
