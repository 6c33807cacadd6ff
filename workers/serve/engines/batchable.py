"""Whether a model gives the same answer for rows of different lengths as for each row alone.

Not every architecture takes positions and a mask from outside: some count positions themselves,
bend attention by distance, or keep a recurrent state. Instead of a list of names that ages, a
probe is asked: a short ragged batch against the same rows alone.
"""

from __future__ import annotations

import logging
from typing import Any

import torch

from workers.serve.engines.loading import LoadedModel
from workers.serve.engines.slot_cache import SlotCache, Window

log = logging.getLogger(__name__)

_LENGTHS = (5, 3)
_MOST_APART = {"fp32": 0.02, "bf16": 0.15, "fp16": 0.1}
"""Norm of the difference of the logits over the norm of the logits. What is wrong is far above."""


@torch.inference_mode()
def takes_ragged_rows(loaded: LoadedModel) -> bool:
    """Probe it; a model that fails in any way is not batched."""
    ids = 3 + torch.arange(sum(_LENGTHS), device=loaded.device) % (loaded.vocab_size - 3)
    rows = list(torch.split(ids, list(_LENGTHS)))
    try:
        together = _ragged(loaded, rows)
        alone = torch.stack([_alone(loaded, row) for row in rows])
    except Exception as e:  # noqa: BLE001 - whatever it was, the plain way is still there
        log.info("the probe for batching failed: %s: %s", type(e).__name__, str(e)[:200])
        return False
    if not torch.isfinite(alone).all():
        return True  # broken weights: batching is not to blame, and the caller will say so
    scale = (alone - alone.mean(dim=-1, keepdim=True)).norm()
    apart = float((together - alone).norm() / scale.clamp_min(1e-9))
    limit = _MOST_APART[loaded.dtype] * (1 if loaded.precision == loaded.dtype else 2)
    log.info("rows of different lengths differ by %.4f from rows alone", apart)
    return apart <= limit


def _alone(loaded: LoadedModel, row: torch.Tensor) -> torch.Tensor:
    output: Any = loaded.model(input_ids=row[None], use_cache=False)
    logits: torch.Tensor = output.logits[0, -1].float()
    return logits


def _ragged(loaded: LoadedModel, rows: list[torch.Tensor]) -> torch.Tensor:
    """The first tokens of all rows right-padded, then the last one of each: as in serving."""
    cache = SlotCache(len(rows), max(_LENGTHS) + 1)
    longest = max(len(r) for r in rows) - 1
    ids = torch.zeros((len(rows), longest), dtype=torch.long, device=loaded.device)
    for i, row in enumerate(rows):
        ids[i, : len(row) - 1] = row[:-1]
    starts = torch.tensor([[len(r) - 1] for r in rows], device=loaded.device)
    everywhere = torch.arange(longest, device=loaded.device).expand(len(rows), -1)
    _pass(loaded.model, cache, ids, everywhere, longest)
    last = torch.stack([row[-1:] for row in rows])
    output = _pass(loaded.model, cache, last, starts, longest + 1)
    logits: torch.Tensor = output.logits[:, -1].float()
    return logits


def _pass(
    model: Any, cache: SlotCache, ids: torch.Tensor, positions: torch.Tensor, width: int
) -> Any:
    cache.open(Window(slice(0, len(ids)), positions, width))
    mask = (torch.arange(width, device=ids.device) <= positions[..., None])[:, None]
    return model(
        input_ids=ids,
        position_ids=positions,
        attention_mask=mask,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=torch.tensor([ids.shape[1] - 1], device=ids.device),
    )
