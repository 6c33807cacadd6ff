"""How much memory a server needs, and how many tokens its cache can hold, from sizes alone.

Weights + adapters + what one pass works with + the driver's own = the part that is fixed. What is
left of the budget (`memory_share` of the card, less what others hold) becomes the key-value cache:

- A token of grouped-query attention keeps `2 x layers x kv_heads x head_dim` numbers
  (https://arxiv.org/abs/2305.13245).
- A token of multi-head latent attention keeps `layers x (kv_lora_rank + rope_dim)` of them
  (https://arxiv.org/abs/2405.04434, section 2.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.planning.memory import CONTEXT_GIB, GIB, NF4_BYTES, PROCESS_GIB, WORKSPACE_GIB
from core.planning.shapes import ModelShape

ServePrecision = Literal["fp32", "bf16", "fp16", "8bit", "4bit"]
ServeFit = Literal["roomy", "shared", "short", "does_not_fit"]
"""All asked-for chats at full length, one at least, a shorter context, not even the weights."""

PARTS = ("weights", "adapters", "working", "driver", "cache")
LEAST_CONTEXT_TOKENS = 512
"""With less a chat is no use."""
DEFAULT_BATCH = {"cuda": 128, "cpu": 16}
PROCESSOR_CHAT_TOKENS = 2048
"""On a processor the cache is no larger than for all chats of this length: it is others' memory."""
DEFAULT_PREFILL = {"cuda": 2048, "cpu": 256}
_LATENT, _WIDENED = "kv_a_proj_with_mqa", "kv_b_proj"
_INT8_SCALE_BYTES = 4
"""One fp32 scale a row of outputs (https://arxiv.org/abs/2208.07339)."""
_LOGIT_BYTES = 8
"""Logits in the model's dtype, and an fp32 copy to sample from."""
_GRAPHS_GIB = 0.35
"""Recorded CUDA graphs of all batch sizes, in one shared pool."""


@dataclass(frozen=True)
class ServeLoad:
    """What a server is asked to hold."""

    precision: ServePrecision = "bf16"
    device: Literal["cuda", "cpu"] = "cuda"
    context_tokens: int = 0
    """Of one chat, prompt and answer; 0: what the model was made for."""
    batch: int = 0
    """Chats at the same time; 0: the engine's own number."""
    prefill_tokens: int = 0
    adapter_bytes: int = 0
    file_bytes: int = 0
    """Of weights that are kept as they lie on the disk, quantized; 0: as `precision` says."""
    cuda_graphs: bool = True


@dataclass(frozen=True)
class ServeForecast:
    """Parts of a server's memory and what its cache holds."""

    parts_gib: Mapping[str, float]
    """By `PARTS`; "cache" is what the asked-for chats would fill, cut to what there is."""
    budget_gib: float
    """What the server may take: its share of the card, less what others hold."""
    cache_tokens: int
    """That the rest of the budget can hold; on a processor no more than the engine would take."""
    bytes_a_token: int
    context_tokens: int
    batch: int
    most_tokens: int | None = None
    """What the engine takes at most, also when there is room for more."""

    @property
    def fixed_gib(self) -> float:
        """Everything but the cache."""
        return sum(gib for part, gib in self.parts_gib.items() if part != "cache")

    @property
    def total_gib(self) -> float:
        """With the cache."""
        return sum(self.parts_gib.values())

    @property
    def wanted_tokens(self) -> int:
        """All chats at full length together."""
        return self.context_tokens * self.batch

    @property
    def full_chats(self) -> int:
        """Chats of full length that fit beside each other."""
        return self.cache_tokens // max(1, self.context_tokens)

    @property
    def fit(self) -> ServeFit:
        """In one word."""
        if self.fixed_gib > self.budget_gib or self.cache_tokens < LEAST_CONTEXT_TOKENS:
            return "does_not_fit"
        if self.cache_tokens >= min(self.wanted_tokens, self.most_tokens or self.wanted_tokens):
            return "roomy"
        return "shared" if self.full_chats else "short"


def weight_bytes(shape: ModelShape, precision: ServePrecision) -> int:
    """Bytes of the loaded weights.

    8-bit and 4-bit loading leaves embedding, head, norms, routers and fused experts in 16 bits; so
    does the engine with the matrices that latent attention absorbs.
    """
    element = 4 if precision == "fp32" else 2
    if precision not in ("8bit", "4bit"):
        return shape.parameters * element
    small = [x for x in shape.linears if x.name != _WIDENED]
    weights = sum(x.weights for x in small)
    rest = (shape.parameters - weights) * element
    if precision == "4bit":
        return rest + int(weights * NF4_BYTES)
    return rest + weights + sum(x.count * x.outputs for x in small) * _INT8_SCALE_BYTES


def cache_bytes_a_token(shape: ModelShape, precision: ServePrecision) -> int:
    """Bytes that one token of a conversation keeps in all layers; formulas in the module's text."""
    element = 4 if precision == "fp32" else 2
    width = _latent_width(shape) or shape.attention.key + shape.attention.value
    return shape.layers * width * element


def _latent_width(shape: ModelShape) -> int:
    """kv_lora_rank + rope_dim; 0 without latent attention."""
    return next((x.outputs for x in shape.linears if x.name == _LATENT), 0)


def forecast_server(shape: ModelShape, load: ServeLoad, budget_gib: float) -> ServeForecast:
    """What is needed, and what the rest of `budget_gib` holds.

    Args:
        shape: the model's sizes.
        load: what is asked for; zeros mean the engine's own choice.
        budget_gib: what the server may take, others' memory already taken off.
    """
    context = load.context_tokens or shape.context_tokens or 4096
    batch = load.batch or DEFAULT_BATCH[load.device]
    fixed = _fixed_gib(shape, load, batch)
    a_token = cache_bytes_a_token(shape, load.precision)
    room_gib = max(0.0, budget_gib - sum(fixed.values()))
    most = None
    tokens = int(room_gib * GIB / a_token)
    if load.device == "cpu":
        most = max(context, batch * min(context, PROCESSOR_CHAT_TOKENS))
        tokens = min(tokens, most)
    cache_gib = min(tokens, context * batch) * a_token / GIB
    parts = {**fixed, "cache": cache_gib}
    return ServeForecast(parts, budget_gib, tokens, a_token, context, batch, most)


def _fixed_gib(shape: ModelShape, load: ServeLoad, batch: int) -> dict[str, float]:
    on_card = load.device == "cuda"
    driver = (
        CONTEXT_GIB + WORKSPACE_GIB + _GRAPHS_GIB * load.cuda_graphs if on_card else PROCESS_GIB
    )
    return {
        "weights": (load.file_bytes or weight_bytes(shape, load.precision)) / GIB,
        "adapters": load.adapter_bytes / GIB,
        "working": _working_bytes(shape, load, batch) / GIB,
        "driver": driver,
    }


def _working_bytes(shape: ModelShape, load: ServeLoad, batch: int) -> int:
    """Activations of one pass (nothing is kept between layers) and the logits of all rows."""
    element = 4 if load.precision == "fp32" else 2
    tokens = max(batch, load.prefill_tokens or DEFAULT_PREFILL[load.device])
    # Absorbed queries are as wide as a latent, each head's: before and after the rotated part is
    # joined to them, and what attention makes of them.
    absorbed = 3 * shape.attention.heads * _latent_width(shape)
    attention = 4 * shape.hidden + 2 * shape.attention.query + absorbed
    a_token = element * attention + max(
        element * 3 * shape.intermediate, _routed_bytes(shape, element)
    )
    return tokens * a_token + batch * shape.vocab * _LOGIT_BYTES


def _routed_bytes(shape: ModelShape, element: int) -> int:
    """Of one token: a copy for each expert it goes to, in and out, and both sums in fp32."""
    if shape.experts is None:
        return 0
    hidden, width = shape.hidden, shape.experts.width
    an_expert = element * (2 * hidden + 3 * width) + 2 * 4 * hidden
    return shape.experts.chosen * an_expert + element * 3 * shape.experts.shared_width
