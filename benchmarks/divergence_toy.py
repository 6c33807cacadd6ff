"""Real small trainings with a fault injected on purpose: the ground on which the alarms are judged.

A Llama-like model (2 layers, width 48) learns Markov text in batches of 1 to 4 rows of 12 to 48
tokens: 12 to 192 tokens a step, noisier than real fine-tuning. AdamW, clipping at 1.0, warm-up
over 10 % of the steps, cosine to 0.1 of a peak of 3e-3.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

VOCABULARY = 64
WIDTH = 48
HEADS = 4
LAYERS = 2
PEAK_LR = 3e-3
CLIP = 1.0
WARMUP_SHARE = 0.1
ALPHA = 0.1
WEIGHT_NOISE = 5.0

KINDS: dict[str, int] = {
    "clean": 16,
    "benign": 16,
    "lr_x100": 8,
    "lr_x25": 8,
    "weight_noise": 8,
    "gradient_burst": 8,
    "nan_gradient": 8,
    "bad_labels": 8,
    "domain_shift": 8,
    "lr_too_high": 8,
}
"""Fault and how many of the 96 runs have it."""


class Block(nn.Module):
    """Pre-norm attention with rotary positions, then SwiGLU."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.mlp_norm = nn.RMSNorm(WIDTH)
        self.gate_up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(2 * WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, length, _ = x.shape
        q, k, v = (
            part.view(rows, length, HEADS, -1).transpose(1, 2)
            for part in self.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(rows, length, WIDTH))
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        return x + self.down(functional.silu(gate) * up)


def rotate(x: torch.Tensor) -> torch.Tensor:
    """Rotary positions (https://arxiv.org/abs/2104.09864) on [rows, heads, length, width]."""
    half = x.shape[-1] // 2
    rates = 10_000 ** (-torch.arange(half) / half)
    angles = torch.arange(x.shape[-2])[:, None] * rates
    left, right = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)


class ToyModel(nn.Module):
    """Token ids to next-token logits."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.RMSNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        for p in self.parameters():
            if p.ndim > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))  # type: ignore[no-any-return]


@cache
def transitions(domain: int) -> np.ndarray:
    """Cumulative rows of a Markov chain; each domain is another language."""
    rows = np.random.default_rng(1000 + domain).dirichlet(np.full(VOCABULARY, ALPHA), VOCABULARY)
    return np.cumsum(rows, axis=1)


def markov_text(rng: np.random.Generator, rows: int, length: int, domain: int = 0) -> torch.Tensor:
    """Ids [rows, length]."""
    chain, ids = transitions(domain), np.empty((rows, length), dtype=np.int64)
    ids[:, 0] = rng.integers(VOCABULARY, size=rows)
    for i in range(1, length):
        draws = rng.random(rows)
        ids[:, i] = [
            min(int(np.searchsorted(chain[a], u)), VOCABULARY - 1)
            for a, u in zip(ids[:, i - 1], draws, strict=True)
        ]
    return torch.from_numpy(ids)


@cache
def held_out() -> torch.Tensor:
    """The text on which all runs are compared at their end."""
    return markov_text(np.random.default_rng(77), 64, 48)


@dataclass(frozen=True)
class ToySpec:
    """One run."""

    kind: str
    seed: int
    steps: int = 260

    @property
    def fault_at(self) -> int:
        """Iteration of the fault, between 38 % and 62 % of the run; the first for a bad start."""
        share = np.random.default_rng(self.seed + 5).uniform(0.38, 0.62)
        return 0 if self.kind == "lr_too_high" else int(share * self.steps)


@dataclass
class Numbers:
    """What a trainer would report of a step."""

    loss: float
    grad_norm: float
    learning_rate: float
    target_tokens: int
    skipped: bool


@dataclass
class ToyRun:
    """A training that is driven step by step; a guard may restore it and cut its rate.

    The fault comes by iteration, not by step: a run that was rolled back meets a rate that is
    still wrong, as in life, and not a corruption that happened once.
    """

    spec: ToySpec
    lr_scale: float = 1.0
    skip_non_finite: bool = False
    step: int = 0
    iteration: int = 0
    model: ToyModel = field(init=False)
    optimizer: torch.optim.AdamW = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(self.spec.seed)
        self.model = ToyModel()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=PEAK_LR, weight_decay=0.0)
        self._rng = np.random.default_rng(self.spec.seed)
        self._noise = torch.Generator().manual_seed(self.spec.seed + 9)

    def snapshot(self) -> dict[str, Any]:
        """All that a rollback restores; the data goes on where it is."""
        return copy.deepcopy(
            {
                "step": self.step,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
        )

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Back to `snapshot`."""
        kept = copy.deepcopy(snapshot)
        self.step = kept["step"]
        self.model.load_state_dict(kept["model"])
        self.optimizer.load_state_dict(kept["optimizer"])

    def advance(self, share: float = 1.0) -> Numbers:
        """One optimizer step at `share` of the rate."""
        ids, labels = self._batch()
        rate = self._rate() * share
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = functional.cross_entropy(self.model(ids).reshape(-1, VOCABULARY), labels.reshape(-1))
        self.optimizer.zero_grad()
        loss.backward()
        self._spoil_gradient()
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), CLIP))
        skipped = self.skip_non_finite and not (math.isfinite(norm) and math.isfinite(loss.item()))
        if not skipped:
            self.optimizer.step()
        self._spoil_weights()
        self.step += 1
        self.iteration += 1
        return Numbers(loss.item(), norm, rate, labels.numel(), skipped)

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Nats a token on the common text."""
        ids = held_out()
        logits = self.model(ids[:, :-1]).reshape(-1, VOCABULARY)
        return float(functional.cross_entropy(logits, ids[:, 1:].reshape(-1)))

    def _faulty(self) -> bool:
        return self.iteration >= self.spec.fault_at

    def _rate(self) -> float:
        total, warmup = self.spec.steps, int(WARMUP_SHARE * self.spec.steps)
        place = min(self.step, total - 1)
        done = max(0.0, (place + 1 - warmup) / (total - warmup))
        share = (place + 1) / warmup if place < warmup else 0.55 + 0.45 * math.cos(math.pi * done)
        factor = {"lr_x100": 100.0, "lr_x25": 25.0, "lr_too_high": 100.0}.get(self.spec.kind, 1.0)
        return PEAK_LR * share * self.lr_scale * (factor if self._faulty() else 1.0)

    def _batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        rows, length = int(self._rng.integers(1, 5)), int(self._rng.integers(12, 49))
        kind = self.spec.kind
        domain = 1 if kind == "domain_shift" and self._faulty() else 0
        ids = markov_text(self._rng, rows, length + 1, domain)
        odd = torch.from_numpy(self._rng.integers(VOCABULARY, size=tuple(ids.shape)))
        if kind == "benign" and self.iteration in self._benign_iterations():
            ids = odd
        labels = ids[:, 1:]
        if kind == "bad_labels" and self._faulty():
            labels = odd[:, 1:]
        return ids[:, :-1], labels

    def _benign_iterations(self) -> set[int]:
        rng = np.random.default_rng(self.spec.seed + 6)
        return {int(x) for x in rng.integers(60, self.spec.steps - 20, size=3)}

    def _spoil_gradient(self) -> None:
        since = self.iteration - self.spec.fault_at
        bursts = self.spec.kind == "gradient_burst" and since in (0, 1)
        breaks = self.spec.kind == "nan_gradient" and since == 0
        if not (bursts or breaks):
            return
        for p in self.model.parameters():
            if p.grad is not None:
                p.grad *= 5000.0 if bursts else math.nan

    @torch.no_grad()
    def _spoil_weights(self) -> None:
        if self.spec.kind == "weight_noise" and self.iteration == self.spec.fault_at:
            for p in self.model.parameters():
                p.add_(WEIGHT_NOISE * p.std() * torch.randn(p.shape, generator=self._noise))


def specs_of_96(first_seed: int, steps: int = 260) -> Iterator[ToySpec]:
    """The 96 runs; all seeds of a set differ."""
    seed = first_seed
    for kind, count in KINDS.items():
        for _ in range(count):
            yield ToySpec(kind, seed, steps)
            seed += 1


def record(spec: ToySpec) -> dict[str, np.ndarray]:
    """Curves of an unguarded run: loss, grad_norm, learning_rate, target_tokens by step."""
    run = ToyRun(spec)
    numbers = [run.advance() for _ in range(spec.steps)]
    names = ("loss", "grad_norm", "learning_rate", "target_tokens")
    return {n: np.array([getattr(x, n) for x in numbers], dtype=np.float64) for n in names}
