"""The kernel that draws tokens against plain torch, on Triton's own CPU interpreter.

The interpreter has to be switched on before the kernel is imported, so it runs in a child.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

_CHECKS = Path(__file__).with_name("native_draw_checks.py")
_NAMES = ("peaked", "flat", "half", "small", "masked", "strided", "frequencies")


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.parametrize("name", _NAMES)
def test_the_drawing_kernel_agrees_with_plain_torch(name: str) -> None:
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, str(_CHECKS), name],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
