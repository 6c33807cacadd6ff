"""How weights and gradients are spread over the processes: one class a strategy.

Everything that differs between one process and many is behind these few calls; the loop, the
stepper and the checkpoint know no strategy by name.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from core.config.parallel import ParallelSpec
from workers.harness.team import Team
from workers.train.parallel.seat import shown
from workers.train.parallel.tensors import is_part

if TYPE_CHECKING:
    from accelerate import Accelerator


class Strategy:
    """One process, which is also what every strategy does where it says nothing else.

    Args:
        team: of this process.
        parallel: the run's settings.
    """

    loss_factor: float = 1.0
    """What a loss is multiplied by before its backward pass, so that gradients of all processes
    come out as the sum over the step."""

    def __init__(self, team: Team, parallel: ParallelSpec) -> None:
        self._team = team
        self._parallel = parallel

    @classmethod
    def alone(cls) -> Strategy:
        """Of a process without others."""
        return Strategy(Team(), ParallelSpec())

    def load_arguments(self) -> dict[str, Any]:
        """Further arguments of transformers' `from_pretrained`."""
        return {}

    def loading(self) -> AbstractContextManager[None]:
        """What must hold while transformers loads the model."""
        return nullcontext()

    def spread(self, model: Any, device: str) -> None:
        """Spread the weights of a model, in place; after the adapter, before the optimizer."""

    def clip(
        self, accelerator: Accelerator, trained: list[torch.nn.Parameter], max_norm: float
    ) -> torch.Tensor:
        """Gather the gradients of a step, clip them, and return their norm before clipping."""
        norm: torch.Tensor = accelerator.clip_grad_norm_(trained, max_norm)
        return norm

    def wrap(
        self, accelerator: Accelerator, model: Any, optimizer: Any, max_norm: float
    ) -> tuple[Any, Any]:
        """What is called in the forward pass, and what the stepper updates with."""
        wrapped: tuple[Any, Any] = accelerator.prepare(model, optimizer)
        return wrapped

    def before_pass(self, *, last: bool) -> None:
        """A forward pass of a step begins; `last` for the step's last one."""

    def backward(self, accelerator: Accelerator, loss: torch.Tensor) -> None:
        """The backward pass of one micro-batch."""
        accelerator.backward(loss)

    def update(self, accelerator: Accelerator, optimizer: Any, *, skipped: bool) -> None:
        """Change the weights, unless the step is to be skipped, and forget the gradients."""
        if not skipped:
            optimizer.step()
        elif accelerator.scaler is not None:
            # It saw the overflow when the gradients were unscaled: lower the scale.
            accelerator.scaler.update()
        optimizer.zero_grad()

    def sum_loss(self, nll: torch.Tensor) -> torch.Tensor:
        """The step's loss over all shares of its samples, on the device."""
        if self._team.data_size > 1:
            dist.all_reduce(nll)
        return nll


class DataParallel(Strategy):
    """Each process has the whole model; gradients are added up once a step."""

    def clip(
        self, accelerator: Accelerator, trained: list[torch.nn.Parameter], max_norm: float
    ) -> torch.Tensor:
        """See `Strategy`. The sum comes first, so an overflow anywhere is seen by all."""
        from workers.train.parallel import gradients

        gradients.sum_over_processes(trained)
        return super().clip(accelerator, trained, max_norm)


class _Split(Strategy):
    """Weights are parts: norms are taken over the parts of all processes."""

    def clip(
        self, accelerator: Accelerator, trained: list[torch.nn.Parameter], max_norm: float
    ) -> torch.Tensor:
        """See `Strategy`."""
        from workers.train.parallel import gradients

        return gradients.clip(trained, max_norm)


class FullyShardedDataParallel(_Split):
    """torch's FSDP2: weights, gradients and optimizer states are sharded, layer by layer."""

    def __init__(self, team: Team, parallel: ParallelSpec) -> None:
        super().__init__(team, parallel)
        self.loss_factor = float(team.data_size)  # its reduce-scatter takes the mean

    def load_arguments(self) -> dict[str, Any]:
        """See `Strategy`. Into the computer's memory: a card may have room for its part only."""
        return {"device_map": None}

    def spread(self, model: Any, device: str) -> None:
        """See `Strategy`."""
        from workers.train.parallel.fsdp import shard

        shard(model, self._parallel, device)


class TensorParallel(_Split):
    """transformers' own: each process has a slice of every layer, and all see every sample.

    Why not Megatron-LM: it needs its own model code and checkpoint format for each architecture;
    docs/multi-gpu.md says when that pays.
    """

    def load_arguments(self) -> dict[str, Any]:
        """See `Strategy`. `tp_plan` is the name of the same thing before transformers 5.18."""
        try:
            from transformers.distributed import DistributedConfig
        except ImportError:
            return {"tp_plan": "auto", "device_map": None}
        if "tp_size" not in getattr(DistributedConfig, "__dataclass_fields__", {}):
            return {"tp_plan": "auto", "device_map": None}
        config = DistributedConfig(tp_size=self._team.size)
        return {"distributed_config": config, "device_map": None}

    def spread(self, model: Any, device: str) -> None:
        """See `Strategy`. The weights are slices already; an adapter's linear layers must say how
        wide they are as a whole: PEFT 0.21 leaves the width of the slice there, and transformers
        5.23 then cuts an input that is cut already.
        """
        for module in model.modules():
            if isinstance(module, torch.nn.Linear) and is_part(module.weight):
                module.out_features, module.in_features = module.weight.shape
        model.to(device)

    def loading(self) -> AbstractContextManager[None]:
        """See `Strategy`. It looks for torchrun's environment."""
        return shown(self._team.rank, self._team.size)


def strategy_of(team: Team, parallel: ParallelSpec) -> Strategy:
    """The strategy that a spec names."""
    if parallel.strategy == "zero3":
        from workers.train.parallel.zero3 import ZeRO3

        return ZeRO3(team, parallel)
    kinds: dict[str, type[Strategy]] = {
        "none": Strategy,
        "ddp": DataParallel if team.size > 1 else Strategy,
        "fsdp2": FullyShardedDataParallel if team.size > 1 else Strategy,
        "tp": TensorParallel if team.size > 1 else Strategy,
    }
    return kinds[parallel.strategy](team, parallel)
