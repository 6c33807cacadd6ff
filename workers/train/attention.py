"""Attention over a row of several documents that never look at each other.

The row is flat: documents stand behind each other without padding, and `cu_seq_lens_q` says where
each begins. transformers hands that tensor to the attention function unread, and builds no mask
for a name that its mask functions do not know: no square of the row's length is ever held, and
nothing waits for the card.

On an NVIDIA card this is torch's own `varlen_attn` (the flash kernel), elsewhere a loop of
scaled-dot-product attention over the documents. Rows without `cu_seq_lens_q` are plain causal
text, also with a key-value cache, so that generation works with the same setting.
"""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as functional

NAME = "deepdeck_varlen"
"""In transformers' registry. (Names with "flash" in them make it look for a kernel to download.)"""

_MODEL_TYPES = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "deepseek_v2", "deepseek_v3", "smollm3"}
)
"""Whose attention is softmax(scaling * q k) v over the past, without soft-capping or sinks."""
_FLASH_WIDTH = 256
"""Widest head that the flash kernel takes."""


def install(model: Any) -> bool:
    """Make a transformers model use this attention; False leaves it as it was.

    Call it before the model is wrapped. Only for models whose attention is known to be plain, and
    that were loaded with torch's scaled-dot-product attention.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    config = model.config
    if config.model_type not in _MODEL_TYPES or config._attn_implementation not in ("sdpa", NAME):
        return False
    ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
    model.set_attn_implementation(NAME)
    return bool(config._attn_implementation == NAME)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Transformers' attention interface: heads are (batch, heads, tokens, width).

    Returns:
        (batch, tokens, heads, width of `value`), and no weights.
    """
    if cu_seq_lens_q is None:
        out = _causal(query, key, value, attention_mask, dropout, scaling, sliding_window)
    elif _kernel_takes(query, key, dropout):
        longest = max_length_q or query.shape[2]
        out = _kernel(query, key, value, cu_seq_lens_q, longest, scaling, sliding_window)
    else:
        lengths = cu_seq_lens_q.diff().tolist()
        heads = (torch.split(t, lengths, dim=2) for t in (query, key, value))
        parts = [
            _causal(q, k, v, None, dropout, scaling, sliding_window)
            for q, k, v in zip(*heads, strict=True)
        ]
        out = torch.cat(parts, dim=2)
    return out.transpose(1, 2).contiguous(), None


def _causal(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: float,
    scaling: float | None,
    sliding_window: int | None,
) -> torch.Tensor:
    """One document, or one a row of the batch; queries are the last tokens of the keys."""
    new, seen = query.shape[2], key.shape[2]
    if mask is None and (new not in (1, seen) or _window_cuts(sliding_window, seen)):
        mask = _past_mask(new, seen, sliding_window, query.device)
    return functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        scale=scaling,
        is_causal=mask is None and new > 1,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _window_cuts(sliding_window: int | None, tokens: int) -> bool:
    return sliding_window is not None and tokens > sliding_window


def _past_mask(
    new: int, seen: int, sliding_window: int | None, device: torch.device
) -> torch.Tensor:
    """Bool (new, seen): each of the last `new` tokens sees itself and (some of) its past."""
    at = torch.arange(seen - new, seen, device=device)[:, None]
    past = torch.arange(seen, device=device)[None, :]
    mask = past <= at
    return mask if sliding_window is None else mask & (past > at - sliding_window)


def _kernel_takes(query: torch.Tensor, key: torch.Tensor, dropout: float) -> bool:
    return (
        query.is_cuda
        and torch.version.cuda is not None
        and query.dtype in (torch.bfloat16, torch.float16)
        and query.shape[-1] <= _FLASH_WIDTH
        and query.shape[2] == key.shape[2]
        and not dropout
        and _varlen() is not None
    )


def _kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bounds: torch.Tensor,
    longest: int,
    scaling: float | None,
    sliding_window: int | None,
) -> torch.Tensor:
    """The flash kernel wants (tokens, heads, width), and one width for q, k and v."""
    varlen = _varlen()
    assert varlen is not None
    width = value.shape[-1]
    if width != query.shape[-1]:  # DeepSeek-V2 and V3: 192 and 128
        value = functional.pad(value, (0, query.shape[-1] - width))
    flat = [t.transpose(1, 2).flatten(0, 1) for t in (query, key, value)]
    out = varlen(flat, bounds, longest, scaling, sliding_window)
    return out.view(query.shape[0], -1, *out.shape[1:]).transpose(1, 2)[..., :width]


class _Varlen:
    """`varlen_attn` by the arguments that this torch has for it: they changed from 2.10 to 2.13."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._has = frozenset(inspect.signature(function).parameters)

    def __call__(
        self,
        flat: list[torch.Tensor],
        bounds: torch.Tensor,
        longest: int,
        scaling: float | None,
        sliding_window: int | None,
    ) -> torch.Tensor:
        query, key, value = flat
        extra: dict[str, Any] = {}
        if query.shape[1] != key.shape[1]:
            if "enable_gqa" in self._has:
                extra["enable_gqa"] = True
            else:
                groups = query.shape[1] // key.shape[1]
                key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
        if "scale" in self._has:
            extra["scale"] = scaling
        elif scaling is not None:  # the kernel divides by the root of the width
            query = query * (scaling * query.shape[-1] ** 0.5)
        if "window_size" in self._has:
            left = -1 if sliding_window is None else sliding_window - 1
            extra["window_size"] = (left, 0)
        else:
            extra["is_causal"] = True
        out: torch.Tensor = self._function(
            query, key, value, bounds, bounds, longest, longest, **extra
        )
        return out


@lru_cache(maxsize=1)
def _varlen() -> _Varlen | None:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return _Varlen(varlen_attn)
