"""The real training worker in a process that may not have much more memory than it has now.

`python -m tests.fakes.limited_worker RUN MIB`: everything heavy is imported first, then the limit
on the address space is set to what is in use plus so many MiB. The allocator fails for real.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Run the worker under a limit."""
    import resource

    import accelerate  # noqa: F401
    import peft  # noqa: F401
    import torch
    import transformers  # noqa: F401

    from workers.harness import run_worker
    from workers.train.checkpoint_files import newest_step
    from workers.train.recipe import train

    run, mib = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(1)
    torch.nn.functional.scaled_dot_product_attention(*(torch.zeros(1, 1, 8, 8) for _ in range(3)))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + mib * 1024**2
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    return run_worker("train", train, find_resume_step=newest_step, argv=[run])


if __name__ == "__main__":
    sys.exit(main())
