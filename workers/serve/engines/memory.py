"""How much memory the key-value cache may take, and how much is taken."""

from __future__ import annotations

import psutil
import torch

_GIB = 1024**3
_ACTIVATIONS_SHARE = 0.1
"""Of the free memory, kept for the passes themselves."""
_RAM_SHARE = 0.5
"""Of the available main memory: a desktop has other programs."""


def cache_budget_tokens(device: torch.device, token_bytes: int, memory_share: float) -> int:
    """Tokens that the caches may hold together; 0 where nothing is left.

    Args:
        device: where the model is.
        token_bytes: of one token over all layers.
        memory_share: of the card, all its users together: what is left keeps the desktop alive.
    """
    room = budget_gib(device, memory_share) * _GIB * (1 - _ACTIVATIONS_SHARE)
    return max(0, int(room / max(1, token_bytes)))


def budget_gib(device: torch.device, memory_share: float) -> float:
    """What this process may still take; negative when others hold too much already."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return (free - (1 - memory_share) * total) / _GIB
    return float(psutil.virtual_memory().available) * _RAM_SHARE / _GIB


def used_gib(device: torch.device) -> float:
    """What this process holds: the allocator's memory of a card, else resident memory."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device) / _GIB
    return float(psutil.Process().memory_info().rss) / _GIB
