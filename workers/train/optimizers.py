"""AdamW (https://arxiv.org/abs/1711.05101) in the forms that a spec names, over what is trained.

| `optim` | moments | where |
| --- | --- | --- |
| adamw_torch, adamw_torch_fused | fp32, 8 bytes a weight | the weights' device |
| adamw_8bit | 8 bits in blocks of 256 (https://arxiv.org/abs/2110.02861), 2 bytes | device |
| paged_adamw_32bit, paged_adamw_8bit | as above | unified memory: paged out of a full card |

With `optimizer_offload` the fp32 moments live in the computer's memory (`host_state.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from core.config.train import TrainSpec
from core.errors import ErrorCode, UsageError
from workers.train.device import Place
from workers.train.host_state import HostStateAdamW
from workers.train.quantization import need_bitsandbytes

BETAS = (0.9, 0.999)
_BITSANDBYTES = {
    "adamw_8bit": "AdamW8bit",
    "paged_adamw_32bit": "PagedAdamW32bit",
    "paged_adamw_8bit": "PagedAdamW8bit",
}


def make_optimizer(model: Any, spec: TrainSpec, place: Place) -> torch.optim.Optimizer:
    """The optimizer of a spec over the parameters of `model` that require gradients.

    Raises:
        UsageError: `train.needs_package`; `input.bad_value` for paged states without a card and
            for offloading what is not torch's own AdamW.
    """
    check_optimizer(spec, place.device)
    groups = list(_groups(model, spec.weight_decay))
    if spec.optim in _BITSANDBYTES:
        return _from_bitsandbytes(groups, spec)
    # One kernel for all tensors on a card. A loss scaler wants to see its overflow flag first.
    fused = spec.optim == "adamw_torch_fused" and place.device == "cuda" and place.dtype != "fp16"
    kind = HostStateAdamW if spec.optimizer_offload else torch.optim.AdamW
    return kind(groups, lr=spec.learning_rate, betas=BETAS, fused=fused)


def check_optimizer(spec: TrainSpec, device: str) -> None:
    """Refuse what cannot be, before anything is loaded. `device` is "cpu" or "cuda".

    Raises:
        UsageError: as `make_optimizer`.
    """
    if spec.optim in _BITSANDBYTES:
        need_bitsandbytes(spec.optim)
    if spec.optim.startswith("paged") and device == "cpu":
        detail = "paged optimizer states need an NVIDIA card; use adamw_8bit or adamw_torch"
        raise _bad_value("optim", spec.optim, detail)
    if spec.optimizer_offload and spec.optim in _BITSANDBYTES:
        detail = f"only AdamW's fp32 states can be offloaded, not those of {spec.optim}"
        raise _bad_value("optimizer_offload", "true", detail)


def page_again(optimizer: torch.optim.Optimizer) -> None:
    """After a load: give bitsandbytes' paged states their unified memory back.

    Its `load_state_dict` makes ordinary tensors on the card of them, which no longer page out.
    """
    if not getattr(optimizer, "is_paged", False):
        return
    for parameter, state in optimizer.state.items():
        for what in ("state1", "state2"):
            if what in state and not getattr(state[what], "is_paged", False):
                buffer = optimizer.get_state_buffer(parameter, dtype=state[what].dtype)  # type: ignore[attr-defined]
                state[what] = buffer.copy_(state[what])


def _groups(model: Any, weight_decay: float) -> Iterator[dict[str, Any]]:
    """Matrices decay; norms, biases and magnitudes, which are vectors, do not."""
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim >= 2]
    vectors = [p for p in trained if p.ndim < 2]
    if matrices:
        yield {"params": matrices, "weight_decay": weight_decay}
    if vectors:
        yield {"params": vectors, "weight_decay": 0.0}


def _from_bitsandbytes(groups: list[dict[str, Any]], spec: TrainSpec) -> torch.optim.Optimizer:
    import bitsandbytes

    kind = getattr(bitsandbytes.optim, _BITSANDBYTES[spec.optim])
    made: torch.optim.Optimizer = kind(groups, lr=spec.learning_rate, betas=BETAS)
    return made


def _bad_value(field: str, value: str, detail: str) -> UsageError:
    return UsageError(ErrorCode.BAD_VALUE, field=field, value=value, detail=detail)
