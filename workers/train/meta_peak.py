"""Counts what a computation holds, storage by storage: on the meta device without any memory.

The planner's formulas are checked against the real modeling code with it. torch's own `MemTracker`
cannot follow frozen parameters (it puts a hook on their gradients, which they do not have).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class LiveStorages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of all storages that operations inside made, now and at their peak."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now_bytes = 0
        self.peak_bytes = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operation and count what it made."""
        for tensor in _tensors((args, kwargs)):
            self._count(tensor, made=False)  # it was there before: a parameter, for example
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            self._count(tensor, made=True)
        return result

    def _count(self, tensor: torch.Tensor, *, made: bool) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._seen:
            return
        size = storage.nbytes() if made else 0
        self._seen.add(key)
        self.now_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.now_bytes)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now_bytes -= size


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    leaves = torch.utils._pytree.tree_leaves(values)
    return (leaf for leaf in leaves if isinstance(leaf, torch.Tensor))


def kept_for_backward(
    forward: Callable[[], torch.Tensor], without: Iterable[torch.Tensor] = ()
) -> tuple[torch.Tensor, int]:
    """The result of `forward`, and the bytes its graph keeps for the backward pass.

    Args:
        forward: computes a tensor.
        without: parameters and buffers, which are there anyway.
    """
    left_out = {t.untyped_storage()._cdata for t in without}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in left_out:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    return result, sum(kept.values())


def peak_of(call: Callable[[], Any]) -> int:
    """Most bytes that `call` held at once, beside what was there before."""
    live = LiveStorages()
    with live:
        call()
    return live.peak_bytes
