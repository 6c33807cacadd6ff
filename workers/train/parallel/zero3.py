"""ZeRO-3 of DeepSpeed (https://arxiv.org/abs/1910.02054), an optional extra: weights, gradients and
optimizer states are split over the processes, and can live in the computer's memory.

Written for DeepSpeed 0.19. This project's machines had one card, so it was never run on several;
docs/multi-gpu.md says so, and FSDP2, which does the same without another library, was tested.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from core.config.parallel import ParallelSpec
from core.errors import ErrorCode, UsageError
from workers.harness.team import Team
from workers.train.parallel.seat import shown
from workers.train.parallel.strategies import Strategy

if TYPE_CHECKING:
    from accelerate import Accelerator

_MOMENTS = ("exp_avg", "exp_avg_sq")


class ZeRO3(Strategy):
    """Drives DeepSpeed's engine.

    The engine clips, judges and updates in one call, so the norm of a step is known only when its
    update is made. A step whose norm is not finite is left out by the engine itself.
    """

    def __init__(self, team: Team, parallel: ParallelSpec) -> None:
        super().__init__(team, parallel)
        self.loss_factor = float(team.data_size)  # its reduction takes the mean
        self._engine: Any = None
        need_deepspeed()

    def load_arguments(self) -> dict[str, Any]:
        """See `Strategy`. Into the computer's memory: a card may have room for its part only."""
        return {"device_map": None}

    def wrap(
        self, accelerator: Accelerator, model: Any, optimizer: Any, max_norm: float
    ) -> tuple[Any, Any]:
        """See `Strategy`."""
        import deepspeed

        half = accelerator.mixed_precision == "bf16"
        with shown(self._team.rank, self._team.size):
            self._engine, wrapped, _, _ = deepspeed.initialize(
                model=model,
                optimizer=optimizer,
                config=settings(self._parallel, self._team.size, max_norm, bf16=half),
                dist_init_required=False,
            )
        model.gathered = Gathered(optimizer)
        return self._engine, wrapped

    def before_pass(self, *, last: bool) -> None:
        """See `Strategy`."""
        self._engine.set_gradient_accumulation_boundary(last)

    def backward(self, accelerator: Accelerator, loss: torch.Tensor) -> None:
        """See `Strategy`."""
        self._engine.backward(loss)

    def clip(
        self, accelerator: Accelerator, trained: list[torch.nn.Parameter], max_norm: float
    ) -> torch.Tensor:
        """See `Strategy`; the update is made here."""
        self._engine.step()
        return torch.as_tensor(self._engine.get_global_grad_norm(), device=accelerator.device)

    def update(self, accelerator: Accelerator, optimizer: Any, *, skipped: bool) -> None:
        """Nothing is left to do."""


class Gathered:
    """Whole tensors of an engine's parameters, and their way back. Every call is a meeting."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer

    def weights(self, trained: Iterable[tuple[str, Any]]) -> dict[str, torch.Tensor]:
        """fp32, by name."""
        from deepspeed.utils import safe_get_full_fp32_param

        return {name: safe_get_full_fp32_param(p).cpu() for name, p in trained}

    def load_weights(
        self, trained: Iterable[tuple[str, Any]], tensors: dict[str, torch.Tensor]
    ) -> None:
        """Into the fp32 parts and into the weights of the forward pass."""
        from deepspeed import zero
        from deepspeed.utils import safe_set_full_fp32_param

        for name, parameter in trained:
            value = tensors[name].to(parameter.device)
            safe_set_full_fp32_param(parameter, value)
            with zero.GatheredParameters(parameter, modifier_rank=0):
                parameter.data.copy_(value)

    def optimizer(self, trained: Iterable[tuple[str, Any]]) -> dict[str, torch.Tensor]:
        """Moments and number of steps as `<what>/<name>`."""
        from deepspeed.utils import safe_get_full_optimizer_state

        found = {
            f"{what}/{name}": safe_get_full_optimizer_state(p, what).cpu()
            for name, p in trained
            for what in _MOMENTS
        }
        steps = (s["step"] for s in self._optimizer.state.values() if "step" in s)
        return {**found, "step/": torch.as_tensor(next(steps, 0.0)).cpu()}

    def load_optimizer(
        self, trained: Iterable[tuple[str, Any]], tensors: dict[str, torch.Tensor]
    ) -> None:
        """Put back what `optimizer` returned."""
        from deepspeed.utils import safe_set_full_optimizer_state

        for name, parameter in trained:
            for what in _MOMENTS:
                value = tensors[f"{what}/{name}"].to(parameter.device)
                safe_set_full_optimizer_state(parameter, value, what)
        for state in self._optimizer.state.values():
            if "step" in state:
                state["step"] = torch.as_tensor(tensors["step/"]).clone()


def need_deepspeed() -> None:
    """Refuse clearly where the extra is not installed.

    Raises:
        UsageError: `train.needs_package`.
    """
    from importlib.util import find_spec

    if find_spec("deepspeed") is None:
        raise UsageError(ErrorCode.TRAIN_NEEDS_PACKAGE, package="deepspeed", feature="zero3")


def settings(
    parallel: ParallelSpec, processes: int, max_norm: float, *, bf16: bool
) -> dict[str, Any]:
    """DeepSpeed's configuration. How many micro-batches a step has is said with each of them."""
    zero: dict[str, Any] = {"stage": 3, "overlap_comm": True, "contiguous_gradients": True}
    if parallel.cpu_offload:
        place = {"device": "cpu", "pin_memory": True}
        zero |= {"offload_param": place, "offload_optimizer": place}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "train_batch_size": processes,
        "gradient_clipping": max_norm,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": bf16},
    }
