"""From one optimizer's states to another's, when a run goes on with another `optim`.

Out of memory, a run may change from fp32 moments to 8-bit ones and go on from its checkpoint. The
moments are the same numbers under other names, in 8 bits quantized in blocks of 256 with
bitsandbytes' maps (https://arxiv.org/abs/2110.02861).
"""

from __future__ import annotations

from typing import Any

import torch

_BLOCK = 256
_MOMENTS = (("exp_avg", "1", True), ("exp_avg_sq", "2", False))
"""torch's name, bitsandbytes' number, whether it has a sign."""

State = dict[str, Any]


def fit(state: State, optimizer: Any, parameter: torch.Tensor) -> State:
    """`state` of one parameter in the form that `optimizer` wants; itself when it has it."""
    wanted = _bits(optimizer, parameter)
    if not state or wanted == _bits_of(state):
        return state
    plain = _as_torch(state)
    return plain if wanted is None else _as_bitsandbytes(plain, wanted)


def _bits(optimizer: Any, parameter: torch.Tensor) -> int | None:
    """8 or 32 for bitsandbytes, which leaves small tensors in 32; None for torch."""
    if not hasattr(optimizer, "get_state_buffer"):
        return None
    small = parameter.numel() < optimizer.args.min_8bit_size
    return 32 if small else int(optimizer.args.optim_bits)


def _bits_of(state: State) -> int | None:
    return None if "exp_avg" in state else 8 if "qmap1" in state else 32


def _as_torch(state: State) -> State:
    if "exp_avg" in state:
        return state
    moments = {name: _wide(state, number) for name, number, _ in _MOMENTS}
    return {"step": torch.tensor(float(state["step"])), **moments}


def _wide(state: State, number: str) -> torch.Tensor:
    tensor: torch.Tensor = state[f"state{number}"]
    if f"qmap{number}" not in state:
        return tensor
    from bitsandbytes.functional import dequantize_blockwise

    wide: torch.Tensor = dequantize_blockwise(
        tensor, absmax=state[f"absmax{number}"], code=state[f"qmap{number}"], blocksize=_BLOCK
    )
    return wide.reshape(tensor.shape)


def _as_bitsandbytes(state: State, bits: int) -> State:
    found: State = {"step": int(state["step"])}
    for name, number, signed in _MOMENTS:
        moment = state[name].float()
        if bits == 32:
            found[f"state{number}"] = moment
        else:
            found |= _narrow(moment, number, signed)
    return found


def _narrow(moment: torch.Tensor, number: str, signed: bool) -> State:
    from bitsandbytes.functional import create_dynamic_map, quantize_blockwise

    code = create_dynamic_map(signed=signed).to(moment.device)
    packed, scales = quantize_blockwise(moment, code=code, blocksize=_BLOCK)
    return {
        f"state{number}": packed.reshape(moment.shape),
        f"qmap{number}": code,
        f"absmax{number}": scales.absmax,
    }
