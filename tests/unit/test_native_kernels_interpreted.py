"""The native engine's Triton kernels against plain torch, on Triton's own CPU interpreter.

The interpreter has to be switched on before the kernels are imported, so they run in a child.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

_CHECKS = Path(__file__).with_name("native_kernel_checks.py")
_NAMES = (
    "norms", "silu", "rope", "decode", "decode_in_pieces", "prefill", "mixed", "latent",
    "latent_rope", "experts", "linear", "int8", "nf4",
)  # fmt: skip


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.parametrize("name", _NAMES)
def test_a_kernel_agrees_with_plain_torch(name: str) -> None:
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, str(_CHECKS), name],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_without_triton_the_engine_takes_plain_torch() -> None:
    script = (
        "import sys; sys.modules['triton'] = None; import torch\n"
        "from workers.serve.native import ops\n"
        "x = torch.ones(2, 8)\n"
        "assert torch.allclose(ops.silu_mul(x), torch.sigmoid(torch.ones(2, 4)))\n"
        "assert ops.kernel_of('linear', x, x) is None\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
