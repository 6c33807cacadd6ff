"""Which ways of training are known to be right together.

Pure facts, no torch: forms ask here what to offer, the service asks before a start. What stands
in no test of this project and in no confirmed report is refused, with the reason; the sentences
are in `app/texts/combinations.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from core.config.parallel import Strategy
from core.config.train import TrainSpec
from core.errors import Param

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

Bits = Literal[4, 8, 16]

SHARDED: frozenset[Strategy] = frozenset({"fsdp2", "zero3"})
"""Each process keeps a part of every weight and gathers it for the moment of use."""
_PLAIN_OPTIMIZERS = frozenset({"adamw_torch", "adamw_torch_fused"})


@dataclass(frozen=True)
class Setup:
    """What decides whether a run can be right; `setup_of` takes it from a spec."""

    strategy: Strategy = "none"
    world_size: int = 1
    method: Literal["lora", "full"] = "lora"
    bits: Bits = 16
    """Of the frozen weights."""
    routed_experts: bool = False
    """Whether the model is a mixture of experts, as DeepSeek-V2 and V3 are."""
    precision: str = "auto"
    optim: str = "adamw_torch_fused"
    optimizer_offload: bool = False
    activation_offload: bool = False
    cpu_offload: bool = False
    use_dora: bool = False
    torch_compile: bool = False
    use_liger_kernel: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class Refusal:
    """One reason why not."""

    code: str
    """Stable; a key of `app.texts.combinations.REFUSALS`."""
    params: dict[str, Param] = field(default_factory=dict)


def setup_of(spec: TrainSpec, *, routed_experts: bool = False) -> Setup:
    """The facts of a spec that the rules look at."""
    return Setup(
        strategy=spec.parallel.strategy,
        world_size=spec.parallel.world_size,
        method=spec.method,
        bits=4 if spec.load_in_4bit else 8 if spec.load_in_8bit else 16,
        routed_experts=routed_experts,
        precision=spec.precision,
        optim=spec.optim,
        optimizer_offload=spec.optimizer_offload,
        activation_offload=spec.activation_offload,
        cpu_offload=spec.parallel.cpu_offload,
        use_dora=spec.lora.use_dora and spec.method == "lora",
        torch_compile=spec.torch_compile,
        use_liger_kernel=spec.use_liger_kernel,
        device=spec.device,
    )


def check_combination(setup: Setup) -> tuple[Refusal, ...]:
    """All reasons against a setup; none means that it is known to be right."""
    return tuple(
        Refusal(rule.code, {"strategy": setup.strategy}) for rule in _RULES if rule.hits(setup)
    )


def allowed_strategies(setup: Setup) -> dict[Strategy, tuple[Refusal, ...]]:
    """For a form: every strategy with what speaks against it when nothing else is changed."""
    return {s: check_combination(replace(setup, strategy=s)) for s in STRATEGIES}


@dataclass(frozen=True)
class _Rule:
    code: str
    hits: Callable[[Setup], bool]


def _rules() -> Iterator[_Rule]:
    # What quantized weights allow. The second pass over 4-bit weights sharded by FSDP2 was wrong
    # without any update in between; see docs/multi-gpu.md for the reports and the test.
    yield _Rule("combination.quantized_full", lambda s: s.method == "full" and s.bits != 16)
    yield _Rule("combination.fsdp2_quantized", lambda s: s.strategy == "fsdp2" and s.bits != 16)
    yield _Rule("combination.zero3_quantized", lambda s: s.strategy == "zero3" and s.bits != 16)
    yield _Rule("combination.tp_quantized", lambda s: s.strategy == "tp" and s.bits != 16)
    # What slices of a layer allow.
    yield _Rule("combination.tp_full", lambda s: s.strategy == "tp" and s.method == "full")
    yield _Rule("combination.tp_experts", lambda s: s.strategy == "tp" and s.routed_experts)
    yield _Rule("combination.zero3_experts", lambda s: s.strategy == "zero3" and s.routed_experts)
    # PEFT dequantizes each weight for DoRA's norms, and loses the 8-bit rows' scales on the way
    # (peft 0.21, bitsandbytes 0.50, seen on the CPU).
    yield _Rule("combination.dora_int8", lambda s: s.use_dora and s.bits == 8)
    yield _Rule("combination.dora_split", lambda s: s.use_dora and _splits_weights(s))
    # Optimizers and where their states are.
    yield _Rule("combination.optimizer_split", _foreign_optimizer_on_parts)
    yield _Rule("combination.offload_twice", lambda s: s.optimizer_offload and _splits_weights(s))
    yield _Rule(
        "combination.cpu_offload_alone", lambda s: s.cpu_offload and s.strategy not in SHARDED
    )
    yield _Rule(
        "combination.activation_offload_split",
        lambda s: s.activation_offload and _splits_weights(s),
    )
    yield _Rule(
        "combination.offload_optimizer_kind",
        lambda s: s.optimizer_offload and s.optim not in _PLAIN_OPTIMIZERS,
    )
    yield _Rule(
        "combination.paged_on_cpu", lambda s: s.optim.startswith("paged") and s.device == "cpu"
    )
    # Numbers and kernels.
    yield _Rule("combination.fp16_split", lambda s: s.precision == "fp16" and _splits_weights(s))
    yield _Rule("combination.compile_split", lambda s: s.torch_compile and _splits_weights(s))
    yield _Rule("combination.liger_split", lambda s: s.use_liger_kernel and _splits_weights(s))
    yield _Rule("combination.zero3_on_cpu", lambda s: s.strategy == "zero3" and s.device == "cpu")
    yield _Rule(
        "combination.one_card_for_many", lambda s: s.world_size > 1 and s.device.startswith("cuda:")
    )


def _splits_weights(setup: Setup) -> bool:
    return setup.strategy in SHARDED or setup.strategy == "tp"


def _foreign_optimizer_on_parts(setup: Setup) -> bool:
    return _splits_weights(setup) and setup.optim not in _PLAIN_OPTIMIZERS


_RULES = tuple(_rules())

REFUSAL_CODES = frozenset(rule.code for rule in _RULES)
"""Every reason there is; a test holds that each has its texts and is met by some setup."""
