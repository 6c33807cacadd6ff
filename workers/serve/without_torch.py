"""Keeps torch out of the front: tokenizers need none, and it costs seconds and hundreds of MiB.

A front without it cannot be taken down by what an engine does to a card, and answers within two
seconds of its start.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

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


@contextlib.contextmanager
def gguf_without_torch() -> Iterator[None]:
    """Within this block transformers reads a GGUF file's tokenizer without torch.

    It asks for torch before it looks at a file at all, though only tensors need it.
    """
    if sys.modules.get("torch", "absent") is not None:
        yield
        return
    import transformers.modeling_gguf_pytorch_utils as reader

    asks = reader.is_torch_available
    reader.is_torch_available = lambda: True
    try:
        yield
    finally:
        reader.is_torch_available = asks
