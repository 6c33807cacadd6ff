"""Which of torch's attention kernels is taken.

On Hopper cuDNN's is nearly twice as fast as torch's flash kernel (docs/benchmarks.md), because it
uses that chip's own instructions; but it is planned anew for every shape, 0.14 s each: only a few
shapes get it. Packed rows have an attention of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

_CHIPS = (9, 10)
"""Compute capabilities of Hopper and the data center's Blackwell."""
_MOST_SHAPES = 16
"""So many shapes are planned in a process; rows of other lengths take the flash kernel."""
_ORDER = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION,
          SDPBackend.MATH]  # fmt: skip

_planned: set[tuple[torch.Size, torch.Size]] = set()


@contextmanager
def fastest_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Iterator[None]:
    """Within it, `scaled_dot_product_attention` prefers cuDNN where that pays."""
    if not _suits(q, v) or not _has_room(q, k):
        yield
        return
    with sdpa_kernel(_ORDER, set_priority=True):
        yield


def _suits(q: torch.Tensor, v: torch.Tensor) -> bool:
    return (
        q.is_cuda
        and torch.version.cuda is not None
        and q.dtype in (torch.bfloat16, torch.float16)
        and q.shape[-1] == v.shape[-1] <= 128
        and q.shape[-1] % 8 == 0
        and _is_known_chip(q.device)
    )


@lru_cache(maxsize=16)
def _is_known_chip(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device)[0] in _CHIPS


def _has_room(q: torch.Tensor, k: torch.Tensor) -> bool:
    shape = q.shape, k.shape
    if shape not in _planned and len(_planned) < _MOST_SHAPES:
        _planned.add(shape)
    return shape in _planned
