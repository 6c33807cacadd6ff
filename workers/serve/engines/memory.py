"""How much memory the key-value cache may take, and how much is taken."""

from __future__ import annotations

import psutil
import torch

_GIB = 1024**3
MEMORY_SHARE = 0.85
"""Of a card's memory, all users of it together: what is left keeps the desktop alive."""
_ACTIVATIONS_SHARE = 0.1
"""Of the free memory, kept for the passes themselves."""
_RAM_SHARE = 0.5
"""Of the available main memory: a desktop has other programs."""


def cache_budget_tokens(device: torch.device, token_bytes: int) -> int:
    """Tokens that the caches may hold together, at least one short conversation."""
    return max(64, int(_budget_bytes(device) / max(1, token_bytes)))


def _budget_bytes(device: torch.device) -> float:
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return max(0.0, free - (1 - MEMORY_SHARE) * total) * (1 - _ACTIVATIONS_SHARE)
    return float(psutil.virtual_memory().available) * _RAM_SHARE


def used_gib(device: torch.device) -> float:
    """What this process holds: the allocator's memory of a card, else resident memory."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device) / _GIB
    return float(psutil.Process().memory_info().rss) / _GIB
