"""Keeps torch out of the front: tokenizers need none, and it costs seconds and hundreds of MiB.

A front without it cannot be taken down by what an engine does to a card, and answers within two
seconds of its start.
"""

from __future__ import annotations

import logging
import sys

_COMPLAINT = "PyTorch was not found"


def keep_torch_out() -> None:
    """From here on `import torch` fails in this process as if it were not installed.

    Harmless where it has been imported already (tests that run in one process).
    """
    if "torch" in sys.modules:
        return
    # None makes `import` raise and `find_spec` say no: transformers then goes without.
    sys.modules["torch"] = None  # type: ignore[assignment]
    logging.getLogger("transformers").addFilter(lambda r: _COMPLAINT not in r.getMessage())
