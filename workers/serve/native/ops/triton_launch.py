"""How the kernels of this package are launched: overlapping the kernel before, where a card can.

Hopper and later cards can start a kernel while the one before it still runs (programmatic dependent
launch). A kernel here lets its successor start at once, loads what no kernel writes (weights), and
waits for its predecessor before it touches anything else. At one row that fills the gaps between
some 240 short kernels a token: reading weights goes on while a norm or an attention is computed.

Every program of a kernel that is launched so has to call `wait()`, also one with nothing to do:
completion is handed on from kernel to kernel. Weights may be read ahead because they change between
passes only, and a pass begins with a kernel of torch's, which waits for all before it.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import triton

try:
    from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

    _HAS_WAIT = True
except ImportError:  # an older Triton

    @triton.jit
    def gdc_wait():
        """Nothing to wait for."""

    @triton.jit
    def gdc_launch_dependents():
        """Nothing to launch."""

    _HAS_WAIT = False

__all__ = [
    "gdc_launch_dependents",
    "gdc_wait",
    "launch",
    "overlaps",
    "processors",
    "shared_bytes",
    "stages_for",
]

_HOPPER = 9


@functools.cache
def overlaps(device: torch.device) -> bool:
    """Kernels on this device may start before the one ahead of them ends."""
    return (
        _HAS_WAIT
        and device.type == "cuda"
        and torch.cuda.get_device_capability(device)[0] >= _HOPPER
    )


def launch(x: torch.Tensor) -> dict[str, Any]:
    """Keyword arguments every launch here takes: `OVERLAP` of the kernel and Triton's own."""
    if overlaps(x.device):
        return {"OVERLAP": True, "launch_pdl": True}
    return {"OVERLAP": False}


@functools.cache
def processors(device: torch.device) -> int:
    """Multiprocessors of the card; a few on Triton's interpreter."""
    if device.type != "cuda":
        return 4
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


@functools.cache
def shared_bytes(device: torch.device) -> int:
    """Shared memory that one program may take."""
    if device.type != "cuda":
        return 1 << 20
    properties = torch.cuda.get_device_properties(device)
    return int(getattr(properties, "shared_memory_per_block_optin", 48 << 10))


def stages_for(step_bytes: int, device: torch.device, most: int = 4) -> int:
    """Steps of a loop, `step_bytes` of tiles each, that may be loaded ahead: up to `most`."""
    return max(1, min(most, int(0.8 * shared_bytes(device)) // step_bytes))
