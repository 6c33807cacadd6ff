"""Whole tensors from parts, parts from whole tensors: a checkpoint knows nothing of processes."""

from __future__ import annotations

import torch
import torch.distributed as dist

from workers.harness.team import Team


def part_like(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """`whole`, cut and placed as `like` is; every process has the same `whole`."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor) or whole.shape != like.shape:
        return whole  # a number of steps, for example
    there = whole.to(like.device_mesh.device_type)
    return distribute_tensor(there, like.device_mesh, like.placements, src_data_rank=None)


def is_part(tensor: object) -> bool:
    """Whether it is one process's part of a whole."""
    return hasattr(tensor, "full_tensor")


def whole_on_main(part: torch.Tensor) -> torch.Tensor:
    """The whole in the main process's memory, nothing in the others': what is written at once
    need not be held by every process. A meeting.
    """
    whole: torch.Tensor = part.full_tensor()  # type: ignore[attr-defined]
    return whole.detach().cpu() if dist.get_rank() == 0 else whole.new_empty(0, device="cpu")


def share_tensors(tensors: dict[str, torch.Tensor] | None, team: Team) -> dict[str, torch.Tensor]:
    """The main process's tensors, in the memory of every computer. A meeting.

    One at a time: only machine 0 needs to have the checkpoint's folder.
    """
    if team.size == 1:
        return tensors or {}
    names = [(n, tuple(t.shape), t.dtype) for n, t in (tensors or {}).items()]
    found: dict[str, torch.Tensor] = {}
    for name, shape, dtype in team.share(names):
        here = (
            tensors[name].contiguous()
            if team.is_main and tensors
            else torch.empty(shape, dtype=dtype)
        )
        dist.broadcast(here, src=0)
        found[name] = here
    return found
