"""`python -m workers.serve <run folder>`."""

from __future__ import annotations

import sys
from typing import Any

from workers.harness import WorkerContext, run_worker


def recipe(context: WorkerContext) -> dict[str, Any]:
    """Imports inside, so that the run says its first word at once."""
    from workers.serve.without_torch import keep_torch_out

    keep_torch_out()
    from workers.serve.recipe import serve

    return serve(context)


if __name__ == "__main__":
    sys.exit(run_worker("serve", recipe))
