"""Whether Triton kernels can run on a tensor, found out by running one."""

from __future__ import annotations

import importlib.util
import logging
import os
from functools import lru_cache

import torch

_OLDEST_CARD = 8
"""Compute capability: Ampere, the first with bf16 matrix units."""
_log = logging.getLogger(__name__)


def kernels_run_on(tensor: torch.Tensor) -> bool:
    """Launch the Triton kernel for this tensor; otherwise take the torch path."""
    return not why_no_kernels(tensor)


def why_no_kernels(tensor: torch.Tensor) -> str:
    """Why Triton kernels do not run on this tensor's device: a few words, or "" when they do."""
    if not has_triton():
        return "no triton"
    if tensor.is_cuda:
        return _why_not_on(tensor.device)
    return "" if interpreted() else "no card"


@lru_cache(maxsize=1)
def has_triton() -> bool:
    """Triton is installed (its Linux wheels come with torch's CUDA builds)."""
    return importlib.util.find_spec("triton") is not None


def interpreted() -> bool:
    """Triton's own CPU interpreter is switched on: for tests of kernels without a card."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@lru_cache(maxsize=16)
def _why_not_on(device: torch.device) -> str:
    if torch.version.cuda is None:
        return "no CUDA"
    if torch.cuda.get_device_capability(device)[0] < _OLDEST_CARD:
        return torch.cuda.get_device_name(device)
    return _why_launch_fails(device)


def _why_launch_fails(device: torch.device) -> str:
    """Triton builds its launcher with the machine's C compiler, which may be missing."""
    try:
        from workers.train.fast.kernels.swiglu import swiglu

        ones = torch.ones(64, device=device)
        made = swiglu(ones, ones, torch.empty_like(ones))
        return "" if torch.allclose(made, torch.sigmoid(ones)) else "wrong results"
    except Exception as e:  # noqa: BLE001 - whatever it is, training goes on without kernels
        _log.warning("Triton kernels do not run here", exc_info=True)
        return (str(e).splitlines() or [type(e).__name__])[0][:120]
