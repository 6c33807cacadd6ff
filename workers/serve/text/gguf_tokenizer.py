"""A GGUF file's tokenizer as files that can be read without torch.

transformers reads GGUF through modules that import torch, even where no tensor is wanted. The
front has none (`without_torch.py`), so a short process of its own does this once a start, while
the engine loads the weights.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from core.errors import AppError, ErrorCode
from core.paths import PROJECT_ROOT

_LIMIT_S = 600.0
_MODULE = "workers.serve.text.gguf_tokenizer"


def unpack_tokenizer(gguf: Path, folder: Path) -> Path:
    """Write the tokenizer of `gguf` into `folder`; what was unpacked before is taken as it is.

    Raises:
        AppError: `model.tokenizer_missing`.
    """
    if (folder / "tokenizer.json").is_file():
        return folder
    paths = os.pathsep.join(p for p in (str(PROJECT_ROOT), os.environ.get("PYTHONPATH", "")) if p)
    try:
        done = subprocess.run(
            [sys.executable, "-m", _MODULE, str(gguf), str(folder)],
            env={**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
        )
        words = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [""])[-1]
    except (OSError, subprocess.TimeoutExpired) as e:
        words = str(e)
    if words or not (folder / "tokenizer.json").is_file():
        raise AppError(ErrorCode.MODEL_TOKENIZER_MISSING, path=str(gguf), detail=words[:500])
    return folder


def main(gguf: Path, folder: Path) -> None:
    """In the short process."""
    from transformers import AutoTokenizer

    from workers.serve.engines.gguf_speed import headers_read_once
    from workers.serve.engines.sources import source_arguments

    source, arguments = source_arguments(gguf)
    with headers_read_once():
        tokenizer = AutoTokenizer.from_pretrained(source, **arguments)
    partial = folder.with_name(folder.name + ".partial")
    tokenizer.save_pretrained(partial)
    partial.rename(folder)  # whole, or not there


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
