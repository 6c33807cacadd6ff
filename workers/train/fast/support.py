"""Whether Triton kernels can run on a tensor."""

from __future__ import annotations

import importlib.util
import os
from functools import lru_cache

import torch

_OLDEST_CARD = 8
"""Compute capability: Ampere, the first with bf16 matrix units."""


@lru_cache(maxsize=1)
def has_triton() -> bool:
    """Triton is installed (its Linux wheels come with torch's CUDA builds)."""
    return importlib.util.find_spec("triton") is not None


def interpreted() -> bool:
    """Triton's own CPU interpreter is switched on: for tests of kernels without a card."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def kernels_run_on(tensor: torch.Tensor) -> bool:
    """Launch the Triton kernel for this tensor; otherwise take the torch path."""
    if not has_triton():
        return False
    return _card_is_new_enough(tensor.device) if tensor.is_cuda else interpreted()


@lru_cache(maxsize=16)
def _card_is_new_enough(device: torch.device) -> bool:
    return torch.version.cuda is not None and (
        torch.cuda.get_device_capability(device)[0] >= _OLDEST_CARD
    )
