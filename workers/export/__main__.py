"""`python -m workers.export <run folder>`."""

from workers.export.recipe import export
from workers.harness import run_worker

if __name__ == "__main__":
    raise SystemExit(run_worker("export", export))
