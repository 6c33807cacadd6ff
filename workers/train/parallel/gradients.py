"""Sums, norm and clipping of gradients over all processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

_BUCKET_BYTES = 64 * 1024 * 1024


def sum_over_processes(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Add up the gradients of all processes, in as few messages as there are 64 MiB buckets.

    Once a step, when all micro-batches are done: an adapter's gradients are small, so there is
    nothing to gain from sending them during the backward pass, and nothing in the model has to be
    wrapped or hooked. A weight that this process did not use counts as zero.
    """
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    for bucket in _buckets([p.grad for p in parameters if p.grad is not None]):
        flat = torch.cat([g.flatten() for g in bucket])
        dist.all_reduce(flat)
        parts = torch.split(flat, [g.numel() for g in bucket])
        torch._foreach_copy_(bucket, [p.view_as(g) for p, g in zip(parts, bucket, strict=True)])


def clip(parameters: Sequence[torch.nn.Parameter], max_norm: float) -> torch.Tensor:
    """Scale gradients down to an L2 norm over all parts of all weights; returns the norm before.

    `torch.nn.utils.clip_grad_norm_` refuses parts and whole tensors in one list, which is what
    adapters on a sliced model are; so each kind has its norm, and their squares are added.
    """
    groups = _by_layout([p for p in parameters if p.grad is not None])
    norms = [_norm([p.grad for p in group if p.grad is not None]) for group in groups]
    total: torch.Tensor = torch.linalg.vector_norm(torch.stack(norms))
    for group in groups:
        torch.nn.utils.clip_grads_with_norm_(group, max_norm, total)
    return total


def _norm(gradients: list[torch.Tensor]) -> torch.Tensor:
    norm = torch.nn.utils.get_total_norm(gradients)
    whole: torch.Tensor = norm.full_tensor() if isinstance(norm, DTensor) else norm
    return whole


def _by_layout(parameters: list[torch.nn.Parameter]) -> list[list[torch.nn.Parameter]]:
    """Those that one call can handle: whole tensors, and parts that lie on the same mesh alike."""
    groups: dict[object, list[torch.nn.Parameter]] = {}
    for parameter in parameters:
        grad = parameter.grad
        key = (grad.device_mesh, grad.placements) if isinstance(grad, DTensor) else None
        groups.setdefault(key, []).append(parameter)
    return list(groups.values())


def _buckets(tensors: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Runs of one dtype; the order is the same in all processes."""
    bucket: list[torch.Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size + tensor.nbytes > _BUCKET_BYTES or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket
