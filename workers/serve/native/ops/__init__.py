"""Fused operations: Triton kernels on cards that run them, plain torch everywhere else.

`reference.py` has every operation and says what it means. A kernel module `triton_*.py` offers
functions of the same names and signatures, and may offer `suits_<name>` with the same arguments:
a cheap look at shapes and types, never at values, that says whether the kernel takes them.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast

import torch

from workers.serve.native.ops import reference
from workers.train.fast.support import kernels_run_on

P = ParamSpec("P")
R = TypeVar("R")
_log = logging.getLogger(__name__)

_KERNELS = {
    "rms_norm": "triton_norm",
    "add_rms_norm": "triton_norm",
    "silu_mul": "triton_silu",
    "rope_and_store": "triton_rope",
    "paged_attention": "triton_attention",
    "latent_attention": "triton_latent",
    "latent_store": "triton_latent_rope",
    "latent_queries": "triton_latent_rope",
    "routed_experts": "triton_experts",
    "linear": "triton_small_linear",
    "linear_int8": "triton_linear_int8",
    "linear_nf4": "triton_linear_nf4",
}
"""Operations that have a kernel, and the module it is in."""


_broken: set[str] = set()
"""Operations whose kernel failed in this process."""


def _always(*_: Any, **__: Any) -> bool:
    return True


@dataclass(frozen=True)
class _Kernel:
    run: Callable[..., Any]
    suits: Callable[..., bool]


def kernel_of(name: str, *args: Any, **kwargs: Any) -> Callable[..., Any] | None:
    """The kernel that takes these arguments of operation `name`, or None.

    The first argument is a tensor on the device that matters.
    """
    kernel = None if name in _broken else _kernel(name, args[0].device)
    if kernel is None or not kernel.suits(*args, **kwargs):
        return None
    return kernel.run


@functools.cache
def _kernel(name: str, device: torch.device) -> _Kernel | None:
    if device.type != "cuda" or not kernels_run_on(torch.empty(0, device=device)):
        return None
    where = f"{__name__}.{_KERNELS[name]}"
    if importlib.util.find_spec(where) is None:
        return None
    try:
        module = importlib.import_module(where)
    except Exception:  # noqa: BLE001 - a kernel that does not even import is no kernel
        _log.warning("no kernel for %s", name, exc_info=True)
        return None
    return _Kernel(getattr(module, name), getattr(module, f"suits_{name}", _always))


def by_kernel(name: str, *args: Any, **kwargs: Any) -> Any:
    """What the kernel of operation `name` makes of the arguments; NotImplemented where none does.

    A kernel that fails is not asked again: there are more cards and compilers than could be tried.
    It fails at load, when passes are run on trial, before a recording or a request needs it.
    """
    run = kernel_of(name, *args, **kwargs)
    if run is None:
        return NotImplemented
    try:
        return run(*args, **kwargs)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # noqa: BLE001 - the same is computed without it
        _log.warning("the kernel for %s fails here and is left alone", name, exc_info=True)
        _broken.add(name)
        return NotImplemented


def _fastest(plain: Callable[P, R]) -> Callable[P, R]:
    """The operation by its kernel where there is one for the arguments, else as in `reference`."""
    name = plain.__name__

    @functools.wraps(plain)
    def operation(*args: P.args, **kwargs: P.kwargs) -> R:
        found = by_kernel(name, *args, **kwargs)
        return plain(*args, **kwargs) if found is NotImplemented else cast(R, found)

    return operation


rms_norm = _fastest(reference.rms_norm)
add_rms_norm = _fastest(reference.add_rms_norm)
rope_and_store = _fastest(reference.rope_and_store)
silu_mul = _fastest(reference.silu_mul)
paged_attention = _fastest(reference.paged_attention)
latent_attention = _fastest(reference.latent_attention)
latent_store = _fastest(reference.latent_store)
latent_queries = _fastest(reference.latent_queries)
linear = _fastest(reference.linear)
linear_int8 = _fastest(reference.linear_int8)
linear_nf4 = _fastest(reference.linear_nf4)


def records(device: torch.device) -> bool:
    """Whether passes on this device can be recorded: attention must not look at the host."""
    return "paged_attention" not in _broken and _kernel("paged_attention", device) is not None
