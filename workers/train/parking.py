"""Gives the card free while a run is paused, and takes it again.

Weights and optimizer go to the computer's memory; parameters stay the same objects, so whoever
holds one does not notice.
"""

from __future__ import annotations

import gc

import psutil
import torch

from workers.train.parts import Parts

SPARE_BYTES = 1024**3
"""Of the computer's memory, left to others."""


class Parking:
    """Moves one run's tensors off the card and back."""

    def __init__(self, parts: Parts, processes: int = 1) -> None:
        self._parts = parts
        self._processes = processes
        self._away = False

    def refusal(self) -> str:
        """Why the card cannot be given free; empty when it can, or when there is none."""
        if self._away or self._parts.place.device != "cuda":
            return ""
        if self._processes > 1:
            return "several_processes"
        if self._parts.spec.load_in_8bit:
            return "quantized_8bit"
        free = psutil.virtual_memory().available - SPARE_BYTES
        return "" if torch.cuda.memory_allocated() < free else "not_enough_memory"

    def leave(self) -> bool:
        """Give the card free; false where there is none. Call only when nothing refuses."""
        if self._parts.place.device != "cuda":
            return False
        if not self._away:
            self._move("cpu")
            gc.collect()
            _give_workspaces_back()
            torch.cuda.empty_cache()
            self._away = True
        return True

    def back(self) -> bool:
        """Take the card again, if it was left; false when others hold too much of it now."""
        if not self._away:
            return True
        try:
            self._move("cuda")
        except torch.OutOfMemoryError:
            self._move("cpu")
            torch.cuda.empty_cache()
            return False
        self._away = False
        return True

    def _move(self, device: str) -> None:
        self._parts.model.to(device)
        for values in self._parts.optimizer.state.values():
            for name, value in values.items():
                # The step counter of a plain AdamW lives on the host at all times.
                if isinstance(value, torch.Tensor) and value.dim():
                    values[name] = value.to(device)


def _give_workspaces_back() -> None:
    """Let cuBLAS drop the 64 MiB that it holds (seen on an H200); torch has no public name for
    that. They are taken anew at the next product.
    """
    clear = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
    if clear is not None:
        clear()
