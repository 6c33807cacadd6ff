"""How many pages the key-value cache gets."""

from __future__ import annotations

import gc

import psutil
import torch

from core.config.serve import ServeSpec
from core.planning.serve_memory import PROCESSOR_CHAT_TOKENS
from workers.serve.native.constants import PAGE_TOKENS
from workers.serve.native.pool import KvLayout

_GIB = 1024**3
_RAM_SHARE = 0.5
"""Of the available main memory: a desktop has other programs."""
_GRAPHS_BYTES = 0.4 * _GIB
"""What recorded passes keep for themselves, beside the largest of them."""
_SAMPLING_COPIES = 4
"""Of the logits in float32, while penalties and masks are put on them."""
_SPARE = 0.02
"""Of the allowed memory: allocators round up."""
SMALLEST_TOKENS = 256
"""A cache that cannot hold this much serves nobody."""


def pages_that_fit(
    layout: KvLayout,
    device: torch.device,
    spec: ServeSpec,
    *,
    max_rows: int,
    context_tokens: int,
    pass_bytes: int,
    sampling_bytes: int,
    recorded_share: float,
) -> int:
    """Pages, the scratch page included, when weights are loaded; may be too few for anything.

    Args:
        layout: what a token takes.
        device: where the pool will be.
        spec: `memory_share` of the card is for all its users together.
        max_rows: rows at once.
        context_tokens: of one row at most.
        pass_bytes: what the largest pass takes beside weights and pool.
        sampling_bytes: what choosing tokens takes.
        recorded_share: of `pass_bytes`, what recorded passes take once more for themselves.
    """
    wanted = max_rows * context_tokens
    if device.type == "cuda":
        room = card_room_bytes(device, spec.memory_share) - pass_bytes - sampling_bytes
        room -= _GRAPHS_BYTES + recorded_share * pass_bytes if spec.cuda_graphs else 0
    else:
        room = psutil.virtual_memory().available * _RAM_SHARE
        wanted = max(context_tokens, max_rows * min(context_tokens, PROCESSOR_CHAT_TOKENS))
    fits = int(room / (layout.token_bytes * PAGE_TOKENS))
    return min(fits, -(-wanted // PAGE_TOKENS) + 1)


def card_room_bytes(device: torch.device, memory_share: float) -> float:
    """What this process may still take of a card before `memory_share` of it is in use."""
    gc.collect()
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    return free - (1 - memory_share * (1 - _SPARE)) * total


def sampling_bytes(max_rows: int, vocab_size: int) -> int:
    """What choosing a token for every row takes."""
    return max_rows * vocab_size * 4 * _SAMPLING_COPIES


def peak_gib(device: torch.device) -> float:
    """The most that this process has held of a card, or of main memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / _GIB
    return float(psutil.Process().memory_info().rss) / _GIB
