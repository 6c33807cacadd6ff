"""How much memory a training will need, by part, worked out from sizes alone.

Total = weights + adapter + gradients + optimizer + activations + logits + overhead +
fragmentation, each at the moment of the peak. `docs/benchmarks.md` has forecasts and measured
peaks side by side; `calibration` learns what is left from finished runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from core.config.combinations import SHARDED
from core.config.train import TrainSpec
from core.planning import activations
from core.planning.activations import Kernels, Style
from core.planning.shapes import ModelShape

GIB = 1024**3

PARTS = (
    "weights", "adapter", "gradients", "optimizer", "activations", "logits", "overhead",
    "fragmentation",
)  # fmt: skip

NF4_BYTES = 0.5 + 4 / 64
"""A weight: 4 bits, and an fp32 scale for each block of 64."""
NF4_DOUBLE_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Scales in 8 bits with an fp32 one for 256 of them (https://arxiv.org/abs/2305.14314)."""
LOGIT_BYTES = 12
"""A logit: fp32 log-softmax and two fp32 gradients live together in the backward pass."""
CHUNK_TOKENS = 2048
"""As `workers/train/fast/cross_entropy.py` cuts."""
PIECE_TOKENS = 8192
"""As `workers/train/fast/mlp_half.py` works through a recomputed layer."""
CONTEXT_GIB = 0.55
"""CUDA context and the libraries' kernels; outside of torch's allocator."""
COMMUNICATOR_GIB = 0.75
WORKSPACE_GIB = 0.07
"""Of cuBLAS and of attention kernels."""
PROCESS_GIB = 0.45
"""Python, torch and transformers, on a machine without a card."""
FRAGMENTS = 0.03
"""Reserved over allocated, of what changes in a step; expandable segments are on."""

_FAST_FAMILIES = frozenset({"llama", "qwen2", "qwen3"})


@dataclass(frozen=True)
class Situation:
    """What a spec leaves open: where it runs and on what rows."""

    tokens_longest: int
    """Of the longest row, padding included."""
    device: Literal["cuda", "cpu"] = "cuda"
    dtype: Literal["bf16", "fp16", "fp32"] = "bf16"
    rows: int | None = None
    """In the largest micro-batch; the spec's batch size by default."""
    flat: bool = False
    """The rows stand behind each other in one, as packed ones do."""
    target_share: float = 1.0
    """Positions for which logits are computed, of all."""
    compute_capability: tuple[int, int] | None = None
    """None: a card that is new enough for every kernel."""
    kernels: Kernels | None = None
    """Of the layers that run, where that is known."""
    correction: float = 1.0
    """Measured over forecast, learned from runs before; see `calibration`."""

    @property
    def element(self) -> int:
        """Bytes of a number that is computed with."""
        return 4 if self.dtype == "fp32" else 2

    def corrected(self, correction: float) -> Situation:
        """The same with what runs before have taught."""
        return replace(self, correction=correction)


@dataclass(frozen=True)
class MemoryForecast:
    """What is needed at the peak, on each device."""

    parts_gib: Mapping[str, float]
    """By part, in the order of `PARTS`."""
    host_gib: float = 0.0
    """Of the computer's memory, for what was moved there."""
    tokens: int = 0
    """Of the largest micro-batch, padding included."""
    device: Literal["cuda", "cpu"] = "cuda"
    outside_gib: float = field(default=0.0, repr=False)
    """Of the total, what torch's allocator never sees."""

    @property
    def total_gib(self) -> float:
        """All parts: what must be free."""
        return sum(self.parts_gib.values())

    @property
    def allocated_gib(self) -> float:
        """What `torch.cuda.max_memory_allocated` will say."""
        return self.total_gib - self.outside_gib - self.parts_gib["fragmentation"]

    @property
    def largest(self) -> str:
        """The part that a remedy should attack first."""
        return max(self.parts_gib, key=lambda part: self.parts_gib[part])


def estimate(shape: ModelShape, spec: TrainSpec, situation: Situation) -> MemoryForecast:
    """The peak of a training step on one device.

    Args:
        shape: the model's sizes.
        spec: what is trained and how.
        situation: the machine and the longest row.
    """
    return _Estimate(shape, spec, situation).forecast()


def kernels_of(shape: ModelShape, spec: TrainSpec, situation: Situation) -> Kernels:
    """Which layers will run, as far as model, spec and card tell."""
    if situation.kernels is not None:
        return situation.kernels
    new_enough = situation.compute_capability is None or situation.compute_capability >= (8, 0)
    plain_lora = not (spec.lora.use_dora or spec.lora.lora_dropout)
    if (
        spec.fast_kernels
        and shape.model_type in _FAST_FAMILIES
        and situation.device == "cuda"
        and new_enough
        and spec.method == "lora"
        and plain_lora
        and not spec.load_in_8bit
    ):
        return "fast"
    return "liger" if spec.use_liger_kernel and situation.device == "cuda" else "plain"


@dataclass(frozen=True)
class _Moment:
    """What comes on top of what is always there, at one moment of a step; bytes."""

    gradients: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        return self.gradients + self.activations + self.logits


class _Estimate:
    def __init__(self, shape: ModelShape, spec: TrainSpec, situation: Situation) -> None:
        self.shape, self.spec, self.situation = shape, spec, situation
        self.cuda = situation.device == "cuda"
        self.kernels = kernels_of(shape, spec, situation)
        self.targets = shape.targets(spec.lora.target_modules) if spec.method == "lora" else ()
        strategy, world = spec.parallel.strategy, spec.parallel.world_size
        self.shards = world if strategy in SHARDED else 1
        self.slices = world if strategy == "tp" else 1
        self.rows = situation.rows or spec.per_device_train_batch_size
        self.tokens = self.rows * situation.tokens_longest
        self.host = 0.0

    def forecast(self) -> MemoryForecast:
        weights, adapter = self._weights(), self._adapter_bytes()
        optimizer, gradients = self._optimizer(), self._gradients()
        peak = max(self._moments(gradients), key=lambda m: m.total)
        factor = self.situation.correction
        outside = self._outside()
        parts = {
            "weights": weights,
            "adapter": adapter,
            "gradients": peak.gradients + self._buckets(),
            "optimizer": optimizer,
            "activations": peak.activations * factor,
            "logits": peak.logits * factor,
            "overhead": outside + self._scratch(),
        }
        changing = parts["activations"] + parts["logits"] + peak.gradients
        parts["fragmentation"] = FRAGMENTS * changing
        return MemoryForecast(
            parts_gib={name: parts[name] / GIB for name in PARTS},
            host_gib=self.host / GIB,
            tokens=self.tokens,
            device=self.situation.device,
            outside_gib=outside / GIB,
        )

    # What is always there

    def _weights(self) -> float:
        total = self._full_weights() if self.spec.method == "full" else self._frozen_weights()
        if self.shards == 1:
            return total
        own = total / self.shards
        if self.spec.parallel.cpu_offload:
            self.host += own
            own = 0.0
        gathered = 2 * self.shape.layer_parameters + self.shape.embedding
        if not self.spec.parallel.reshard_after_forward:
            gathered = self.shape.parameters
        return own + min(total, gathered * self.situation.element)

    def _frozen_weights(self) -> float:
        """Only linear layers are quantized; embedding, head, norms and fused experts are not."""
        s, element = self.shape, self.situation.element
        linear = s.linear_weights / self.slices
        rest = s.parameters - s.linear_weights
        return linear * self._bytes_a_weight() + rest * element

    def _bytes_a_weight(self) -> float:
        if self.spec.load_in_4bit:
            return NF4_DOUBLE_BYTES if self.spec.bnb_4bit_use_double_quant else NF4_BYTES
        return 1.0 if self.spec.load_in_8bit else float(self.situation.element)

    def _full_weights(self) -> float:
        """fp32, and the 16-bit copies that autocast makes for the length of a micro-batch."""
        copies = self.situation.element if self.situation.element == 2 else 0
        return self.shape.parameters * 4 + (self.shape.parameters - self.shape.norms) * copies

    def _trained(self) -> float:
        """Elements that learn."""
        if self.spec.method == "full":
            return float(self.shape.parameters)
        rank = self.spec.lora.r
        elements = sum(t.count * rank * (t.inputs + t.outputs) for t in self.targets)
        if self.spec.lora.use_dora:
            elements += sum(t.count * t.outputs for t in self.targets)
        return float(elements)

    def _trained_bytes(self) -> int:
        """Of one trained element."""
        bf16 = self.spec.method == "lora" and self.spec.lora.dtype == "bf16"
        return 2 if bf16 and self.situation.dtype != "fp16" else 4

    def _adapter_bytes(self) -> float:
        if self.spec.method == "full":
            return 0.0
        return self._trained() * self._trained_bytes() / self.shards

    def _optimizer(self) -> float:
        """Two moments of each trained element."""
        spec = self.spec
        each = 2 * (1 if spec.optim in ("adamw_8bit", "paged_adamw_8bit") else 4)
        if spec.optim.startswith("adamw_torch"):
            each = 2 * (4 if spec.optimizer_offload else self._trained_bytes())
        total = self._trained() * each / self.shards
        on_host = spec.optimizer_offload or spec.optim.startswith("paged")
        on_host = on_host or (spec.parallel.cpu_offload and self.shards > 1)
        if on_host and self.cuda:
            self.host += total
            return 0.0
        return total

    def _gradients(self) -> float:
        total = self._trained() * self._trained_bytes() / self.shards
        if self.spec.parallel.cpu_offload and self.shards > 1 and self.cuda:
            self.host += total
            return 0.0
        return total

    def _buckets(self) -> float:
        """DDP's reduction buckets."""
        if self.spec.parallel.strategy != "ddp":
            return 0.0
        return self._trained() * self._trained_bytes()

    # What comes and goes

    def _moments(self, gradients: float) -> list[_Moment]:
        """Where a step may peak: at the loss, in a layer's backward pass, at the update."""
        kept, again = self._kept_and_recomputed()
        # With several micro-batches the gradients of the first are there during the others.
        early = gradients if self.spec.gradient_accumulation_steps > 1 else 0.0
        back = self._transient() + again
        ends = self._ends()
        return [
            _Moment(early, kept + ends, self._logits()),
            _Moment(early, kept + ends + back, 0.0),
            _Moment(gradients, back, 0.0),
        ]

    def _transient(self) -> float:
        mode = self.spec.gradient_checkpointing
        style = self._style()
        return self.tokens * activations.transient_bytes(self.shape, self.targets, style, mode)

    def _made_again_in_full(self) -> float:
        """Bytes of one layer made again from its input, as much of it as is there at once: the
        fast layers take whole rows up to a limit (a flat row is one), and of these the MLP half in
        pieces (`workers/train/fast/layer.py`).
        """
        layer = activations.kept_bytes(self.shape, self.targets, self._style())
        if self.kernels != "fast":
            return self.tokens * layer
        longest = max(1, self.situation.tokens_longest)
        rows = self.tokens if self.situation.flat else max(1, PIECE_TOKENS // longest) * longest
        first_half = activations.selective_bytes(self.shape, self.targets, self._style())
        taken = min(self.tokens, rows)
        return taken * first_half + min(taken, PIECE_TOKENS) * (layer - first_half)

    def _kept_and_recomputed(self) -> tuple[float, float]:
        """Bytes of all layers kept until their backward pass, and of one made again in it."""
        shape, style, tokens = self.shape, self._style(), self.tokens
        layer = tokens * activations.kept_bytes(shape, self.targets, style)
        mode = self.spec.gradient_checkpointing
        if mode == "off":
            kept, again = layer * shape.layers, 0.0
            kept += activations.packed_bytes(self._trained(), style)
        elif mode == "selective":
            part = tokens * activations.selective_bytes(shape, self.targets, style)
            kept, again = part * shape.layers, max(0.0, layer - part)
            kept += activations.packed_bytes(self._trained(), style)
        else:
            kept = tokens * activations.full_bytes(shape, style) * shape.layers
            again = self._made_again_in_full()
        if self.spec.activation_offload and self.cuda and mode != "off":
            self.host += kept
            kept *= 2 / max(2, shape.layers)  # one on its way out, one on its way in
        return kept, again

    def _style(self) -> Style:
        spec, situation = self.spec, self.situation
        return Style(
            kernels=self.kernels,
            element=situation.element,
            autocast=situation.element == 2,
            full=spec.method == "full",
            adapter_bytes=self._trained_bytes(),
            dropout=spec.lora.lora_dropout > 0,
            dora=spec.lora.use_dora,
            rank=spec.lora.r,
            slices=self.slices,
        )

    def _ends(self) -> float:
        """Before the first and behind the last layer: embedded tokens, last norm, its gradient."""
        norm = 4 if self.kernels == "plain" else self.situation.element
        return self.tokens * self.shape.hidden * (norm + 2 * self.situation.element)

    def _logits(self) -> float:
        positions = self.tokens * min(1.0, self.situation.target_share)
        if not self.spec.chunked_loss:
            return positions * self.shape.vocab * LOGIT_BYTES
        each = self.situation.element if self.cuda else self.situation.element + 12
        chunk = min(positions, CHUNK_TOKENS) * self.shape.vocab * each
        if self.spec.method == "full":  # the head's gradient in fp32
            chunk += self.shape.vocab * self.shape.hidden * 4
        return chunk

    # What nobody sees

    def _outside(self) -> float:
        if not self.cuda:
            return PROCESS_GIB * GIB
        several = COMMUNICATOR_GIB if self.spec.parallel.world_size > 1 else 0.0
        return (CONTEXT_GIB + several) * GIB

    def _scratch(self) -> float:
        """Workspaces, and the largest matrix unpacked from 4 bits."""
        if not self.cuda:
            return 0.0
        largest = max((x.inputs * x.outputs for x in self.shape.linears), default=0)
        unpacked = largest * 2 if self.spec.load_in_4bit else 0
        return WORKSPACE_GIB * GIB + unpacked
