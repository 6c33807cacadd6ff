"""What training changes, as named tensors: weights and optimizer states, and their way back.

Of an adapter only the adapter, under PEFT's names: a quantized base could not be loaded back
(https://github.com/bitsandbytes-foundation/bitsandbytes/issues/1946), and it does not change. Of
full fine-tuning every parameter, tied ones once. An optimizer's tensor is `<what>/<parameter>`;
numbers that an optimizer keeps as Python integers (bitsandbytes' step) travel as int64 scalars.
"""

from __future__ import annotations

from typing import Any

import torch

from workers.train import optimizer_kinds
from workers.train.optimizers import page_again
from workers.train.parallel.tensors import is_part, part_like, whole_on_main

ADAPTER_WEIGHTS = "adapter_model.safetensors"
FULL_WEIGHTS = "weights.safetensors"
ADAPTER = "default"
"""PEFT's name of the one adapter."""


def is_adapter(model: Any) -> bool:
    """Whether `model` is PEFT's wrapper around a frozen base."""
    return hasattr(model, "peft_config")


def weights_file(model: Any) -> str:
    """Name of the weights in a checkpoint."""
    return ADAPTER_WEIGHTS if is_adapter(model) else FULL_WEIGHTS


def weight_tensors(model: Any, *, copy: bool = True) -> dict[str, torch.Tensor]:
    """The trained weights: copies on the CPU, or the tensors themselves."""
    if is_adapter(model):
        from peft import get_peft_model_state_dict

        whole = _gathered(model).weights(trained(model)) if _gathered(model) else None
        found = get_peft_model_state_dict(model, state_dict=whole, save_embedding_layers=False)
    elif _gathered(model):
        found = _gathered(model).weights(trained(model))
    else:
        found = dict(trained(model))
    return {name: _taken(tensor, copy) for name, tensor in found.items()}


def load_weights(model: Any, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `weight_tensors` returned.

    Raises:
        ValueError: names or shapes are not those of this model; nothing was changed.
    """
    if (gathered := _gathered(model)) is not None:
        names = {name: name.replace(f".{ADAPTER}", "") for name, _ in trained(model)}
        gathered.load_weights(trained(model), {n: tensors[key] for n, key in names.items()})
        return
    if is_adapter(model):
        _load_adapter(model, tensors)
        return
    own = dict(trained(model))
    _check_same(_shapes(own), _shapes(tensors), "weights")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(part_like(tensors[name], parameter))


def optimizer_tensors(
    model: Any, optimizer: torch.optim.Optimizer, *, copy: bool = True
) -> dict[str, torch.Tensor]:
    """All states, as `weight_tensors`; those that are on their way to the host are waited for."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    if (gathered := _gathered(model)) is not None:
        of_parts: dict[str, torch.Tensor] = gathered.optimizer(trained(model))
        return of_parts
    return {
        f"{what}/{name}": _as_tensor(value, copy)
        for name, parameter in trained(model)
        for what, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(
    model: Any, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]
) -> None:
    """Put back what `optimizer_tensors` returned, of this or another kind of AdamW.

    `load_state_dict` puts each tensor where its parameter lives.

    Raises:
        ValueError: a tensor belongs to no parameter, or has not its size.
    """
    if (gathered := _gathered(model)) is not None:
        gathered.load_optimizer(trained(model), tensors)
        return
    order = {p: i for i, p in enumerate(p for g in optimizer.param_groups for p in g["params"])}
    own = dict(trained(model))
    found: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        what, _, name = key.partition("/")
        if name not in own:
            raise ValueError(f"the optimizer's state {key} belongs to no parameter of this run")
        state = _as_state(tensor)
        if isinstance(state, torch.Tensor):
            state = part_like(state, own[name])
        found.setdefault(order[own[name]], {})[what] = state
    by_index = {index: parameter for parameter, index in order.items()}
    states = {i: optimizer_kinds.fit(s, optimizer, by_index[i]) for i, s in found.items()}
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})
    page_again(optimizer)


def _gathered(model: Any) -> Any:
    """Who can gather what another library has split (`workers.train.parallel.zero3`), or None."""
    return vars(model).get("gathered")


def trained(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    """The parameters that learn."""
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def on_host(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in any case: training goes on and writes into the original."""
    return _whole(tensor).detach().to("cpu", copy=True).contiguous()


def _taken(tensor: torch.Tensor, copy: bool) -> torch.Tensor:
    if copy:
        return on_host(tensor)
    return whole_on_main(tensor) if is_part(tensor) else tensor.detach()


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    """A sharded tensor (torch's `DTensor`) gathered; every process must ask for it."""
    gather: Any = tensor
    whole: torch.Tensor = gather.full_tensor() if is_part(tensor) else tensor
    return whole


def _as_tensor(value: Any, copy: bool) -> torch.Tensor:
    return _taken(value, copy) if isinstance(value, torch.Tensor) else torch.tensor(int(value))


def _as_state(tensor: torch.Tensor) -> Any:
    """A copy: `load_state_dict` keeps tensors that need no conversion, training writes into them,
    and those of a file are windows into it.
    """
    if tensor.dtype is torch.int64 and tensor.ndim == 0:
        return int(tensor.item())
    return on_host(tensor)


def _load_adapter(model: Any, tensors: dict[str, torch.Tensor]) -> None:
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    _check_same(_shapes(own), _shapes(tensors), "adapter's tensors")
    # PEFT casts where the types differ; values of the same type come back bit for bit.
    parts = {name: part_like(tensor, own[name]) for name, tensor in tensors.items()}
    set_peft_model_state_dict(model, parts)


def _shapes(tensors: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _check_same(
    own: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]], what: str
) -> None:
    if own != found:
        first = min(dict(own.items() ^ found.items()))
        raise ValueError(f"the {what} are not those of this run, first {first}")
