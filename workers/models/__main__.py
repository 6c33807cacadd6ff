"""`python -m workers.models <run folder>`."""

from workers.harness import run_worker
from workers.models.fetch import fetch

if __name__ == "__main__":
    raise SystemExit(run_worker("fetch", fetch))
