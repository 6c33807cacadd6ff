"""A pass that is under way, and reading what it made."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from workers.serve.engines.base import TokenLogprob
from workers.serve.native.plan import Plan, Share
from workers.serve.native.rows import Row
from workers.serve.native.sampling.logprobs import HostLogprobs, Logprobs


@dataclass(slots=True)
class Flight:
    """What a pass was asked, and where its results will be."""

    plan: Plan
    chosen: list[Share] = field(default_factory=list)
    """Shares that get a token, in the order of `tokens`."""
    tokens: Tensor | None = None
    logprobs: Logprobs | None = None
    scores: list[tuple[Row, int, Logprobs]] = field(default_factory=list)
    """Of prompts: row, position of the first scored token, its scores."""
    parts: list[tuple[Share, Tensor]] = field(default_factory=list)
    """Of embeddings: [hidden], the sum over the share's tokens."""
    _ready: torch.cuda.Event | None = None

    def bring_home(self, device: torch.device) -> None:
        """Queue the copies to the host behind what makes them."""
        if device.type != "cuda":
            return
        if self.tokens is not None:
            self.tokens = to_host(self.tokens)
        if self.logprobs is not None:
            self.logprobs = Logprobs(*map(to_host, self.logprobs))
        self.scores = [(r, at, Logprobs(*map(to_host, s))) for r, at, s in self.scores]
        self.parts = [(share, to_host(part)) for share, part in self.parts]
        self._ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._ready.record(torch.cuda.current_stream(device))

    def wait(self) -> None:
        """Until everything is on the host."""
        if self._ready is not None:
            self._ready.synchronize()

    def landed_tokens(self) -> list[tuple[Share, int, TokenLogprob | None]]:
        """What each chosen share got; call `wait` before."""
        if self.tokens is None:
            return []
        known = None if self.logprobs is None else HostLogprobs.of(self.logprobs)
        wanted = [share.row.request.params.logprobs for share in self.chosen]
        logprobs = [
            known.row(i, most) if known is not None and most is not None else None
            for i, most in enumerate(wanted)
        ]
        return list(zip(self.chosen, self.tokens.tolist(), logprobs, strict=True))


def to_host(tensor: Tensor) -> Tensor:
    """A copy in pinned memory that nobody has waited for yet."""
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return pinned.copy_(tensor, non_blocking=True)
