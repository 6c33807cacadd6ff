"""What a card could hold of a model under load, from its data sheet: no measurement, an upper idea.

Decoding reads all weights once a step, whatever the number of answers, and each answer's cache:

    step_s = max((weights + cache_a_token * answers * length) / bandwidth,
                 2 * active_parameters * answers / arithmetic) + host_s

Reading a prompt of n tokens is arithmetic: `2 * active_parameters * n` and, for causal attention,
`layers * n^2 * (query + out) / 2` products of two numbers each. Reading and writing share the
card, so at q requests a second writing gets `1 - q * read_s` of the time. By Little's law
(https://doi.org/10.1287/opre.9.3.383) `q * latency` requests are under way. Of routed experts a
step of B answers touches `E * (1 - (1 - k / E)^B)` when tokens choose k of E evenly.

The roofline behind it: https://doi.org/10.1145/1498765.1498785. No program reaches a data sheet's
numbers; the shares below are what good engines do (65 % of the bandwidth, 60 % of the arithmetic).
"""

from __future__ import annotations

from dataclasses import dataclass

from core.planning.flops import multiplied_weights
from core.planning.serve_memory import ServePrecision, cache_bytes_a_token, weight_bytes
from core.planning.shapes import ModelShape

BANDWIDTH_SHARE = 0.65
ARITHMETIC_SHARE = 0.60
HOST_S = 0.0004
"""Of each step, on the host: choosing who is next, taking the tokens."""
P99_MARGIN = 0.9
"""A mean at this share of the target leaves room for the slowest of a hundred."""
_OVERHEAD_BYTES = 1.5e9
"""Driver, workspace and recorded graphs."""
_GB, _TERA = 1e9, 1e12
_LAPTOPS = ("laptop", "max-q", "mobile")


@dataclass(frozen=True)
class CardSpeed:
    """A card's data sheet, dense numbers without sparsity."""

    bandwidth_gb_s: float
    tflops_16: float
    """bf16 or fp16 on tensor cores, sums in fp32."""


# Longer names first where one begins another; what NVML says contains them.
_CARDS: tuple[tuple[str, CardSpeed], ...] = (
    ("H200", CardSpeed(4300, 780)),  # measured here (docs/benchmarks.md); the sheet says 4800, 989
    ("H100 PCIe", CardSpeed(2000, 756)),
    ("H100 NVL", CardSpeed(3938, 835)),
    ("H100", CardSpeed(3350, 989)),
    ("H800", CardSpeed(3350, 989)),
    ("H20", CardSpeed(4000, 148)),
    ("A100-SXM4-40GB", CardSpeed(1555, 312)),
    ("A100-PCIE-40GB", CardSpeed(1555, 312)),
    ("A100-SXM4-80GB", CardSpeed(2039, 312)),
    ("A100", CardSpeed(1935, 312)),
    ("A800", CardSpeed(1935, 312)),
    ("L40S", CardSpeed(864, 362)),
    ("L40", CardSpeed(864, 181)),
    ("L20", CardSpeed(864, 119)),
    ("L4", CardSpeed(300, 121)),
    ("RTX 6000 Ada", CardSpeed(960, 364)),
    ("RTX A6000", CardSpeed(768, 155)),
    ("RTX A5000", CardSpeed(768, 111)),
    ("A40", CardSpeed(696, 150)),
    ("A30", CardSpeed(933, 165)),
    ("A10", CardSpeed(600, 125)),
    ("V100", CardSpeed(900, 125)),
    ("T4", CardSpeed(320, 65)),
    ("RTX 5090", CardSpeed(1792, 210)),
    ("RTX 5080", CardSpeed(960, 113)),
    ("RTX 5070 Ti", CardSpeed(896, 88)),
    ("RTX 5070", CardSpeed(672, 62)),
    ("RTX 5060 Ti", CardSpeed(448, 47)),
    ("RTX 4090", CardSpeed(1008, 165)),
    ("RTX 4080 SUPER", CardSpeed(736, 104)),
    ("RTX 4080", CardSpeed(717, 97)),
    ("RTX 4070 Ti SUPER", CardSpeed(672, 88)),
    ("RTX 4070 Ti", CardSpeed(504, 80)),
    ("RTX 4070 SUPER", CardSpeed(504, 71)),
    ("RTX 4070", CardSpeed(504, 58)),
    ("RTX 4060 Ti", CardSpeed(288, 44)),
    ("RTX 4060", CardSpeed(272, 30)),
    ("RTX 3090 Ti", CardSpeed(1008, 80)),
    ("RTX 3090", CardSpeed(936, 71)),
    ("RTX 3080 Ti", CardSpeed(912, 68)),
    ("RTX 3080", CardSpeed(760, 60)),
    ("RTX 3070", CardSpeed(448, 41)),
    ("RTX 3060 Ti", CardSpeed(448, 32)),
    ("RTX 3060", CardSpeed(360, 25)),
    ("RTX 2080 Ti", CardSpeed(616, 54)),
)


def card_speed(name: str) -> CardSpeed | None:
    """The data sheet of a card by NVML's name; None for laptops' and unknown ones.

    A name must stand as a word, so that no "A100X" or "L40G" passes for another.
    """
    words = f" {name.lower()} "
    if any(word in words for word in _LAPTOPS):
        return None
    for known, speed in _CARDS:
        begin = words.find(" " + known.lower())
        if begin >= 0 and words[begin + 1 + len(known)] in " -":
            return speed
    return None


@dataclass(frozen=True)
class Workload:
    """What all requests look like."""

    prompt_tokens: int
    answer_tokens: int
    target_s: float = 0.5
    """For the slowest of a hundred, from the first byte to the last."""


@dataclass(frozen=True)
class ServingEstimate:
    """What bandwidth and arithmetic allow."""

    cache_tokens: int
    """That fit beside the weights into the share of the memory."""
    one_stream_tokens_per_second: float
    prompt_qps: float
    """Requests a second if answers cost nothing."""
    sustained_qps: float
    """The highest rate that keeps the target; 0 when a single request misses it."""


@dataclass(frozen=True)
class _Machine:
    """A model on a card, in seconds and bytes."""

    shape: ModelShape
    precision: ServePrecision
    card: CardSpeed

    @property
    def bandwidth(self) -> float:
        return self.card.bandwidth_gb_s * _GB * BANDWIDTH_SHARE

    @property
    def arithmetic(self) -> float:
        return self.card.tflops_16 * _TERA * ARITHMETIC_SHARE

    @property
    def cache_bytes(self) -> int:
        return cache_bytes_a_token(self.shape, self.precision)

    @property
    def multiplied(self) -> int:
        return multiplied_weights(self.shape)

    def read_bytes(self, answers: float) -> float:
        """Weights that a step of so many answers reads: not the input embedding, few experts."""
        shape = self.shape
        element = 4 if self.precision == "fp32" else 2
        unread = 0 if shape.tied else shape.embedding * element
        total = weight_bytes(shape, self.precision) - unread
        if shape.experts is None:
            return total
        chosen = shape.experts.chosen / shape.experts.count
        untouched: float = (1 - chosen) ** max(1.0, answers)
        return total - shape.expert_parameters * element * untouched

    def read_s(self, tokens: int) -> float:
        """Reading one prompt."""
        attention = self.shape.attention
        products = self.shape.layers * tokens**2 * (attention.query + attention.out) / 2
        return 2 * (self.multiplied * tokens + products) / self.arithmetic

    def step_s(self, answers: float, length: float) -> float:
        """Writing one token of each answer."""
        moved = self.read_bytes(answers) + self.cache_bytes * answers * length
        counted = 2 * self.multiplied * answers / self.arithmetic
        return max(moved / self.bandwidth, counted) + HOST_S

    def latency_s(self, load: Workload, qps: float, most_answers: float) -> float:
        """Mean of a request at a rate; infinite when the rate is too much."""
        read_s = self.read_s(load.prompt_tokens)
        left = 1 - qps * read_s
        if left <= 0:
            return float("inf")
        length = load.prompt_tokens + load.answer_tokens / 2
        answers = 1.0
        for _ in range(60):  # answers under way and the step's time depend on each other
            latency = (read_s + load.answer_tokens * self.step_s(answers, length)) / left
            under_way = max(1.0, qps * latency)
            if under_way > most_answers:
                return float("inf")
            if abs(under_way - answers) < 0.01 * answers:
                return latency
            answers = under_way
        return latency


def estimate_serving(
    shape: ModelShape,
    precision: ServePrecision,
    card: CardSpeed,
    load: Workload,
    *,
    memory_gib: float,
    memory_share: float = 0.85,
) -> ServingEstimate:
    """What a card could hold; formulas in the module's text.

    Args:
        shape: of the model.
        precision: as it is loaded.
        card: its data sheet.
        load: what all requests look like.
        memory_gib: of the card, in all.
        memory_share: of it, for weights, cache and the rest.
    """
    machine = _Machine(shape, precision, card)
    room = memory_gib * 1024**3 * memory_share - weight_bytes(shape, precision) - _OVERHEAD_BYTES
    cache_tokens = max(0, int(room / machine.cache_bytes))
    one_s = machine.step_s(1, load.prompt_tokens + load.answer_tokens / 2)
    return ServingEstimate(
        cache_tokens=cache_tokens,
        one_stream_tokens_per_second=1 / one_s,
        prompt_qps=1 / machine.read_s(load.prompt_tokens),
        sustained_qps=_highest_rate(machine, load, cache_tokens),
    )


def _highest_rate(machine: _Machine, load: Workload, cache_tokens: int) -> float:
    """By halving: latency rises with the rate."""
    most = cache_tokens / (load.prompt_tokens + load.answer_tokens)
    limit = load.target_s * P99_MARGIN
    low, high = 0.0, 1 / machine.read_s(load.prompt_tokens)
    if most < 1 or machine.latency_s(load, 0.0, most) > limit:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        if machine.latency_s(load, middle, most) <= limit:
            low = middle
        else:
            high = middle
    return low
