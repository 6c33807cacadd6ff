"""Makes transformers read a GGUF file's header once instead of once a question.

Tokenizer, config and weights each parse the whole header anew (seconds, with a large vocabulary),
and the table of tensor names is built once a tensor. Both are pure functions of the file: remember
them while a model is being loaded.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator


@contextlib.contextmanager
def headers_read_once() -> Iterator[None]:
    """Within this block equal questions to the `gguf` package are answered from memory."""
    try:
        import gguf
    except ModuleNotFoundError:  # then there is nothing to speed up, and the loader will say so
        yield
        return
    reader, names = gguf.GGUFReader, gguf.get_tensor_name_map
    gguf.GGUFReader = functools.cache(reader)
    gguf.get_tensor_name_map = functools.cache(names)
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = reader, names
