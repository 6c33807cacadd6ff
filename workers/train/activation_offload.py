"""Activations that wait for the backward pass in pinned host memory instead of on the card.

Copies run on a stream of their own beside the computation: out while the next layer computes, in
one tensor ahead of the layer that needs it. Values are copied, never converted: loss and gradients
are those without offloading.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch

MIN_BYTES = 1024 * 1024
"""Smaller tensors stay: a copy costs more than they take."""


class _Kept:
    """One tensor on the host, and on its way back once that was asked for."""

    def __init__(self, host: torch.Tensor, device: torch.device) -> None:
        self.host = host
        self.device = device
        self.before: weakref.ref[_Kept] | None = None
        """Saved just before this one, so needed just after it."""
        self.returning: torch.Tensor | None = None
        self.arrived: Any = None
        """CUDA event behind the copy to the card."""


class ActivationOffload:
    """Hooks for the tensors that autograd saves inside a module.

    Weights stay where they are, and so does what is smaller than `min_bytes`. On the CPU the copies
    are made as well, without streams: only tests want that.
    """

    def __init__(self, min_bytes: int = MIN_BYTES) -> None:
        self._min_bytes = min_bytes
        self._hooks: list[Any] = []
        self._last: weakref.ref[_Kept] | None = None
        self._streams: dict[torch.device, Any] = {}
        self.offloaded_bytes = 0
        """Since the last forward pass began."""

    def attach(self, module: torch.nn.Module) -> None:
        """Offload in every training pass through `module` from now on."""
        module.register_forward_pre_hook(self._enter)
        module.register_forward_hook(self._leave, always_call=True)

    def _enter(self, module: torch.nn.Module, _args: Any) -> None:
        if not (module.training and torch.is_grad_enabled()):
            self._hooks.append(None)
            return
        self._last, self.offloaded_bytes = None, 0
        hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack)
        hooks.__enter__()
        self._hooks.append(hooks)

    def _leave(self, _module: torch.nn.Module, _args: Any, _output: Any) -> None:
        hooks = self._hooks.pop()
        if hooks is not None:
            hooks.__exit__(None, None, None)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor | _Kept:
        if tensor.nbytes < self._min_bytes or _is_weight(tensor):
            return tensor
        kept = _Kept(self._to_host(tensor), tensor.device)
        kept.before, self._last = self._last, weakref.ref(kept)
        self.offloaded_bytes += tensor.nbytes
        return kept

    def _unpack(self, saved: torch.Tensor | _Kept) -> torch.Tensor:
        if isinstance(saved, torch.Tensor):
            return saved
        tensor = self._fetch(saved)
        if saved.before is not None and (before := saved.before()) is not None:
            self._fetch(before)
        saved.returning = None
        if saved.device.type == "cuda":
            now = torch.cuda.current_stream(saved.device)
            now.wait_event(saved.arrived)
            tensor.record_stream(now)
        return tensor

    def _to_host(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.device.type != "cuda":
            return tensor.detach().clone()
        stream = self._stream(tensor.device)
        host = torch.empty_like(tensor, device="cpu", pin_memory=True)
        stream.wait_stream(torch.cuda.current_stream(tensor.device))
        with torch.cuda.stream(stream):
            host.copy_(tensor, non_blocking=True)
        tensor.record_stream(stream)  # its memory is not given away before the copy is done
        return host

    def _fetch(self, kept: _Kept) -> torch.Tensor:
        """The tensor on its way back, which is started unless it was before."""
        if kept.returning is None:
            kept.returning = self._copy_back(kept)
        return kept.returning

    def _copy_back(self, kept: _Kept) -> torch.Tensor:
        if kept.device.type != "cuda":
            return kept.host.clone()
        stream = self._stream(kept.device)
        with torch.cuda.stream(stream):
            tensor = kept.host.to(kept.device, non_blocking=True)
            kept.arrived = stream.record_event()
        return tensor

    def _stream(self, device: torch.device) -> Any:
        if device not in self._streams:
            self._streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        return self._streams[device]


def _is_weight(tensor: torch.Tensor) -> bool:
    """A parameter, a view of one, or a buffer of a quantized one."""
    owner = tensor if tensor._base is None else tensor._base
    return isinstance(owner, torch.nn.Parameter) or not tensor.is_floating_point()
