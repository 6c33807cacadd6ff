"""Linear modules as the engine runs them: several of one input fused, adapters beside, any weights.

Whatever transformers loaded is taken over, never doubled: the fused tensor is the memory, and the
modules' own weights become views of it, so that what changes a module in place (an adapter that is
merged) changes what is served.

Adapters of a batch follow https://arxiv.org/abs/2310.18547 in spirit: one product narrows every
token for all adapters side by side, a token keeps the columns of its own, one product widens. The
shapes depend on how many adapters there is room for, never on who is in the batch: a recorded
graph stays right.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Protocol

import torch
import torch.nn.functional as functional

from workers.serve.native import ops
from workers.serve.native.ops import reference

_FEW_ROWS = 16
"""Up to here a product that unpacks as it goes is faster than unpacking first."""


class Weights(Protocol):
    """Some projections of one input, side by side: [T, K] to [T, sum of their widths]."""

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """The product, with the bias."""


class PlainWeights:
    """Matrices in the dtype they are computed in."""

    def __init__(self, modules: Sequence[Any]) -> None:
        self.weight = _fuse([m.weight for m in modules])
        self.bias = _fused_bias(modules)

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """As `Weights` says."""
        return ops.linear(x, self.weight, self.bias)


class Int8Weights:
    """bitsandbytes' 8-bit matrices: int8 with a scale a row.

    Activations stay as they are, by a kernel of our own or a widened matrix. On a card without our
    kernels bitsandbytes multiplies, which rounds them (https://arxiv.org/abs/2208.07339).
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        rows = torch.cat([_int8_scale(m).float() for m in modules])
        self.weight = _fuse([m.weight for m in modules])
        self.scale = rows / 127
        self.bias = _fused_bias(modules)
        widths = [m.out_features for m in modules]
        for module, part in zip(modules, _split(self.weight, widths), strict=True):
            _take_int8_over(module, part)
        self._state = None
        if self.weight.is_cuda and not ops.records(self.weight.device):
            self._state = _int8_state(self.weight, rows, modules[0])

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """As `Weights` says."""
        if self._state is None:
            return ops.linear_int8(x, self.weight, self.scale, self.bias)
        from bitsandbytes import matmul

        out: torch.Tensor = matmul(x, self.weight, state=self._state, bias=self.bias)
        return out


class Nf4Weights:
    """bitsandbytes' NF4 matrices, scales as plain numbers (a second quantization is undone)."""

    def __init__(self, modules: Sequence[Any]) -> None:
        states = [m.weight.quant_state for m in modules]
        self.shape = (sum(s.shape[0] for s in states), int(states[0].shape[1]))
        self.packed = torch.cat([m.weight.data.reshape(-1).view(torch.uint8) for m in modules])
        self.absmax = torch.cat([_plain_scales(s) for s in states])
        self.code = states[0].code.float()
        self.bias = _fused_bias(modules)
        _take_nf4_over(modules, self.packed)

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """As `Weights` says."""
        given = x, self.packed, self.absmax, self.code, self.shape, self.bias
        ours = ops.by_kernel("linear_nf4", *given)
        if isinstance(ours, torch.Tensor):
            return ours
        if len(x) > _FEW_ROWS:
            return functional.linear(x, self.wide(x.dtype), self.bias)
        from bitsandbytes import matmul_4bit

        few: torch.Tensor = matmul_4bit(x, self._column, self._state(x.dtype), bias=self.bias)
        return few

    def wide(self, dtype: torch.dtype) -> torch.Tensor:
        """The matrix in `dtype`, a new tensor."""
        from bitsandbytes.functional import dequantize_4bit

        unpacked: torch.Tensor = dequantize_4bit(self._column, self._state(dtype))
        return unpacked

    @property
    def _column(self) -> torch.Tensor:
        return self.packed.view(-1, 1)

    def _state(self, dtype: torch.dtype) -> Any:
        """How bitsandbytes describes the matrix."""
        from bitsandbytes.functional import QuantState

        return QuantState(
            absmax=self.absmax,
            shape=torch.Size(self.shape),
            code=self.code,
            blocksize=reference.NF4_BLOCK,
            quant_type="nf4",
            dtype=dtype,
        )


class ModuleWeights:
    """Anything else that maps a last dimension, called as it is: right, but one by one."""

    def __init__(self, modules: Sequence[Any]) -> None:
        self._modules = modules

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """As `Weights` says."""
        outs = [module(x) for module in self._modules]
        return outs[0] if len(outs) == 1 else torch.cat(outs, dim=-1)


class Lora:
    """Low-rank additions to one fused projection, `slots` adapters of up to `columns` columns."""

    def __init__(self, a: torch.Tensor, b: torch.Tensor) -> None:
        self.a = a
        """[slots, columns, K]."""
        self.b = b
        """[N, slots, columns]; scaled."""

    def add_to(self, out: torch.Tensor, x: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """`out += ` what each token's adapter makes of `x`; `chosen` is bool [T, slots]."""
        narrow = functional.linear(x, self.a.flatten(0, 1)).view(*chosen.shape, -1)
        kept = torch.where(chosen[..., None], narrow, 0.0)
        return out.addmm_(kept.flatten(1), self.b.flatten(1).t())


class Adaptable(Protocol):
    """What adapters can be put beside."""

    inputs: int
    sizes: tuple[int, ...]
    device: torch.device
    lora: Lora | None


class Projection:
    """A fused projection and its adapters, if it has any."""

    def __init__(self, modules: Sequence[Any]) -> None:
        self.inputs = int(modules[0].in_features)
        self.sizes = tuple(int(m.out_features) for m in modules)
        """Widths of the parts, in their order."""
        self.device = next(chain(modules[0].parameters(), modules[0].buffers())).device
        self.weights = _weights_of(modules)
        self.lora: Lora | None = None

    def __call__(self, x: torch.Tensor, chosen: torch.Tensor | None = None) -> torch.Tensor:
        """[T, K] to [T, sum(sizes)]; `chosen` is bool [T, slots], None for the base model."""
        out = self.weights.apply(x)
        if chosen is None or self.lora is None:
            return out
        return self.lora.add_to(out, x, chosen)


def wide_weight(module: Any, dtype: torch.dtype) -> torch.Tensor:
    """[N, K] of any known kind of linear module in `dtype`: its own memory where it can be.

    Raises:
        TypeError: nobody here knows what its weights mean.
    """
    if _is_nf4(module):
        return Nf4Weights([module]).wide(dtype)
    if _is_int8(module):
        scale = _int8_scale(module).float() / 127
        return reference.dequantize_int8(module.weight.data, scale, dtype)
    if type(module) is not torch.nn.Linear:
        raise TypeError(type(module).__name__)
    weight: torch.Tensor = module.weight.data
    return weight.to(dtype)


def widen(module: Any, dtype: torch.dtype) -> torch.Tensor:
    """As `wide_weight`, and from now on the module holds nothing else: not both at once.

    Raises:
        TypeError: as `wide_weight`.
    """
    wide = wide_weight(module, dtype)
    if wide.data_ptr() != module.weight.data_ptr():
        module.weight = torch.nn.Parameter(wide, requires_grad=False)
        if hasattr(module, "state"):
            module.state.CB = None
    return wide


def _weights_of(modules: Sequence[Any]) -> Weights:
    if all(type(m) is torch.nn.Linear for m in modules) and _same_type(modules):
        return PlainWeights(modules)
    if all(_is_nf4(m) for m in modules):
        return Nf4Weights(modules)
    if all(_is_int8(m) for m in modules):
        return Int8Weights(modules)
    return ModuleWeights(modules)


def _same_type(modules: Sequence[Any]) -> bool:
    return len({(m.weight.dtype, m.weight.device) for m in modules}) == 1


def _is_nf4(module: Any) -> bool:
    state = getattr(getattr(module, "weight", None), "quant_state", None)
    return (
        state is not None
        and state.quant_type == "nf4"
        and state.blocksize == reference.NF4_BLOCK
        and state.shape.numel() % reference.NF4_BLOCK == 0
        and not getattr(state, "packing_format_for_cpu", False)
    )


def _is_int8(module: Any) -> bool:
    return type(module).__name__ == "Linear8bitLt" and module.weight.dtype == torch.int8


def _fuse(parameters: Sequence[torch.nn.Parameter]) -> torch.Tensor:
    """One tensor of all rows; the parameters become views of it."""
    if len(parameters) == 1:
        return parameters[0].data
    fused = torch.cat([p.data for p in parameters])
    for parameter, rows in zip(
        parameters, _split(fused, [len(p) for p in parameters]), strict=True
    ):
        parameter.data = rows
    return fused


def _fused_bias(modules: Sequence[Any]) -> torch.Tensor | None:
    if all(m.bias is None for m in modules):
        return None
    if all(m.bias is not None for m in modules):
        return _fuse([m.bias for m in modules])
    like = next(m.bias for m in modules if m.bias is not None)
    return torch.cat(
        [like.new_zeros(m.out_features) if m.bias is None else m.bias.data for m in modules]
    )


def _split(fused: torch.Tensor, sizes: Sequence[int]) -> tuple[torch.Tensor, ...]:
    return torch.split(fused, list(sizes))


def _int8_scale(module: Any) -> torch.Tensor:
    scale: torch.Tensor | None = getattr(module.weight, "SCB", None)
    return module.state.SCB if scale is None else scale


def _int8_state(weight: torch.Tensor, rows: torch.Tensor, module: Any) -> Any:
    """How bitsandbytes describes the fused matrix."""
    from bitsandbytes import MatmulLtState

    state = MatmulLtState()
    state.CB, state.SCB = weight, rows
    state.has_fp16_weights, state.is_training = False, False
    state.threshold = module.state.threshold
    return state


def _take_int8_over(module: Any, rows: torch.Tensor) -> None:
    """One matrix has up to three names in bitsandbytes; all must let go of the old one."""
    if getattr(module.weight, "CB", None) is not None:
        module.weight.CB = rows
    if module.state.CB is not None:
        module.state.CB = rows


def _plain_scales(state: Any) -> torch.Tensor:
    if not state.nested:
        scales: torch.Tensor = state.absmax.float()
        return scales
    from bitsandbytes.functional import dequantize_blockwise

    undone: torch.Tensor = dequantize_blockwise(state.absmax, state.state2) + state.offset
    return undone.float()


def _take_nf4_over(modules: Sequence[Any], packed: torch.Tensor) -> None:
    sizes = [m.weight.data.nbytes for m in modules]
    for module, part in zip(modules, _split(packed, sizes), strict=True):
        old = module.weight.data
        module.weight.data = part.view(old.dtype).view(old.shape)
