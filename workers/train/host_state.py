"""AdamW whose moments live in the computer's memory and visit the card a bucket at a time.

The update is torch's own, on the card, from the same numbers: it equals AdamW without offloading
bit for bit. It costs the way there and back, 16 bytes a weight and step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

BUCKET_WEIGHTS = 32 * 1024 * 1024
"""Moments of so many weights (256 MiB) are on the card at a time."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


class HostStateAdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` with `exp_avg` and `exp_avg_sq` on the host, pinned if there is a card.

    A state that is loaded goes to the host at once: on the card there may be no room for it.
    """

    def __init__(
        self, params: Any, *, bucket_weights: int = BUCKET_WEIGHTS, **options: Any
    ) -> None:
        super().__init__(params, **options)
        self._bucket_weights = bucket_weights

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, but the moments stay on the host."""
        states = state_dict["state"]
        light = {i: {k: v for k, v in s.items() if k not in _MOMENTS} for i, s in states.items()}
        super().load_state_dict({**state_dict, "state": light})
        own = [p for group in self.param_groups for p in group["params"]]
        for index, state in states.items():
            for name in _MOMENTS:
                self.state[own[index]][name] = _host_like(own[index]).copy_(state[name])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all parameters with a gradient, bucket by bucket."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        groups = self.param_groups
        try:
            for group in groups:
                for bucket in self._buckets(group["params"]):
                    self._visit(group, bucket)
        finally:
            self.param_groups = groups
        return loss

    def _visit(self, group: dict[str, Any], bucket: list[torch.nn.Parameter]) -> None:
        homes = [self._fetch(parameter) for parameter in bucket]
        self.param_groups = [{**group, "params": bucket}]
        super().step()
        for parameter, home in zip(bucket, homes, strict=True):
            self._send_home(parameter, home)

    def _buckets(self, params: list[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
        bucket: list[torch.nn.Parameter] = []
        weights = 0
        for parameter in (p for p in params if p.grad is not None):
            if bucket and weights + parameter.numel() > self._bucket_weights:
                yield bucket
                bucket, weights = [], 0
            bucket.append(parameter)
            weights += parameter.numel()
        if bucket:
            yield bucket

    def _fetch(self, parameter: torch.nn.Parameter) -> dict[str, torch.Tensor]:
        """Put the moments where the parameter is; returns where they live."""
        state = self.state[parameter]
        home = {name: state[name] for name in _MOMENTS if name in state}
        for name, moment in home.items():
            state[name] = moment.to(parameter.device, non_blocking=True)
        return home

    def _send_home(self, parameter: torch.nn.Parameter, home: dict[str, torch.Tensor]) -> None:
        """Copies queue up behind the update without waiting for it.

        The next copy to the card runs on the same stream, so it never reads what is not there yet;
        who reads on the host (a save) waits for the card first.
        """
        state = self.state[parameter]
        for name in _MOMENTS:
            visitor = state[name]
            if visitor.device.type != "cpu":
                place = home.get(name)
                place = _host_like(visitor) if place is None else place
                state[name] = place.copy_(visitor, non_blocking=True)


def _host_like(tensor: torch.Tensor) -> torch.Tensor:
    pinned = tensor.device.type == "cuda"
    return torch.empty_like(tensor, device="cpu", pin_memory=pinned, requires_grad=False)
