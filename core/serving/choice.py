"""Which engine serves a model, in which precision, and why: a pure function of what is known.

Every reason is a code with the numbers behind it; `app.texts.serving` has the sentences.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.config.serve import Precision, ServeSpec

EngineName = Literal["native", "transformers", "vllm", "llama_cpp"]
Params = dict[str, str | int | float]

AS_CHOSEN = "as_chosen"
NATIVE_SUITS = "native_suits"
NATIVE_UNSUITED = "native_unsuited"
"""params: why"""
NATIVE_REFUSED = "native_refused"
"""The native engine looked at the loaded model, or at its adapter, and said no. params: why"""
OFFLOAD_WANTED = "offload_wanted"
GGUF_ON_LLAMA_CPP = "gguf_on_llama_cpp"
SEVERAL_CARDS_ON_VLLM = "several_cards_on_vllm"
"""params: cards"""
ENGINE_CODES = (
    AS_CHOSEN, NATIVE_SUITS, NATIVE_UNSUITED, NATIVE_REFUSED, OFFLOAD_WANTED, GGUF_ON_LLAMA_CPP,
    SEVERAL_CARDS_ON_VLLM,
)  # fmt: skip

PROCESSOR = "fp32_on_processor"
FITS = "fits_16bit"
"""params: need_gib (in 16 bits, without the cache), budget_gib"""
FOUR_BIT_FOR_MEMORY = "four_bit_for_memory"
"""params: need_gib (in 16 bits, without the cache), budget_gib"""
FOUR_BIT_TOO_LARGE = "four_bit_too_large"
"""Not even 4 bits fit: routed experts stay in 16. params: need_gib, need_4bit_gib, budget_gib"""
NO_FOUR_BIT = "no_four_bit"
"""16 bits though it is tight: bitsandbytes is missing, or a GGUF file is kept as it is."""
OFFLOADED = "offloaded_16bit"
QUANTIZED_FILE = "file_is_quantized"
MEMORY_UNKNOWN = "memory_unknown"
ENGINES_OWN = "engines_own"
"""vLLM and llama.cpp choose themselves."""
PRECISION_CODES = (
    AS_CHOSEN, PROCESSOR, FITS, FOUR_BIT_FOR_MEMORY, NO_FOUR_BIT, OFFLOADED, QUANTIZED_FILE,
    MEMORY_UNKNOWN, ENGINES_OWN, FOUR_BIT_TOO_LARGE,
)  # fmt: skip

LEAST_CACHE_GIB = 2.0
"""16-bit weights are taken when so much is left for the cache; else 4-bit ones."""
_FIRST_WITH_BF16 = (8, 0)


@dataclass(frozen=True)
class Circumstances:
    """What is known before anything heavy is loaded."""

    gguf: bool = False
    native_refusal: str = ""
    """Why the native engine does not run this architecture, in a few words; empty when it does."""
    on_card: bool = False
    capability: tuple[int, int] | None = None
    """Of the card."""
    need_16bit_gib: float | None = None
    """All but the cache, in 16 bits; None where the model's sizes are not known."""
    need_4bit_gib: float | None = None
    """The same in 4 bits."""
    budget_gib: float | None = None
    """What the server may take; None where the card does not tell."""
    quantized_file: bool = False
    """The weights in the folder are in few bits already (FP8, AWQ, bitsandbytes, ...)."""
    can_quantize: bool = True
    """bitsandbytes is installed."""


@dataclass(frozen=True)
class Choice:
    """What was decided."""

    engine: EngineName
    engine_reason: str
    precision: Precision
    """"auto" leaves it to the engine."""
    precision_reason: str
    engine_params: Params = field(default_factory=dict)
    precision_params: Params = field(default_factory=dict)


def choose(spec: ServeSpec, known: Circumstances) -> Choice:
    """Engine and precision for a spec; what the spec says itself is not argued with."""
    engine, why, params = _engine(spec, known)
    precision, because, numbers = _precision(spec, known, engine)
    return Choice(engine, why, precision, because, params, numbers)


def _engine(spec: ServeSpec, known: Circumstances) -> tuple[EngineName, str, Params]:
    if spec.engine != "auto":
        return spec.engine, AS_CHOSEN, {}
    cards = spec.tensor_parallel
    if spec.vllm_python and not known.gguf and (cards > 1 or spec.ray_address):
        return "vllm", SEVERAL_CARDS_ON_VLLM, {"cards": cards}
    if known.gguf and spec.llama_server:
        return "llama_cpp", GGUF_ON_LLAMA_CPP, {}
    if known.on_card and spec.cpu_offload:
        return "transformers", OFFLOAD_WANTED, {}
    if known.native_refusal:
        return "transformers", NATIVE_UNSUITED, {"why": known.native_refusal}
    return "native", NATIVE_SUITS, {}


def _precision(
    spec: ServeSpec, known: Circumstances, engine: EngineName
) -> tuple[Precision, str, Params]:
    if spec.precision != "auto":
        return spec.precision, AS_CHOSEN, {}
    if engine in ("vllm", "llama_cpp"):
        return "auto", ENGINES_OWN, {}
    if known.quantized_file:
        return "auto", QUANTIZED_FILE, {}
    if not known.on_card:
        return "fp32", PROCESSOR, {}
    wide: Precision = "bf16" if (known.capability or _FIRST_WITH_BF16) >= (8, 0) else "fp16"
    if spec.cpu_offload:
        return wide, OFFLOADED, {}
    if known.need_16bit_gib is None or known.budget_gib is None:
        return "auto", MEMORY_UNKNOWN, {}
    return _by_memory(known, wide, known.need_16bit_gib, known.budget_gib)


def _by_memory(
    known: Circumstances, wide: Precision, need_gib: float, budget_gib: float
) -> tuple[Precision, str, Params]:
    numbers: Params = {"need_gib": round(need_gib, 1), "budget_gib": round(budget_gib, 1)}
    if need_gib + LEAST_CACHE_GIB <= budget_gib:
        return wide, FITS, numbers
    if known.gguf or not known.can_quantize:
        return wide, NO_FOUR_BIT, numbers
    if known.need_4bit_gib is not None and known.need_4bit_gib > budget_gib:
        small: Params = {"need_4bit_gib": round(known.need_4bit_gib, 1)}
        return "4bit", FOUR_BIT_TOO_LARGE, numbers | small
    return "4bit", FOUR_BIT_FOR_MEMORY, numbers
