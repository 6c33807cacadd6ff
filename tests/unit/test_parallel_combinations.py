"""What may be combined, and that every no comes with its reason in both languages."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import pytest
from pydantic import ValidationError

from app.texts.combinations import REFUSALS
from core.config.combinations import (
    REFUSAL_CODES,
    STRATEGIES,
    Setup,
    allowed_strategies,
    check_combination,
    setup_of,
)
from core.config.parallel import ParallelSpec
from core.config.train import TrainSpec

MEASURED = [
    Setup(),
    Setup(method="full"),
    Setup(bits=4),
    Setup(bits=8, optim="paged_adamw_8bit"),
    Setup(strategy="ddp", world_size=2),
    Setup(strategy="ddp", world_size=2, method="full"),
    Setup(strategy="ddp", world_size=2, bits=4),
    Setup(strategy="ddp", world_size=2, routed_experts=True, use_dora=True),
    Setup(strategy="fsdp2", world_size=2),
    Setup(strategy="fsdp2", world_size=2, method="full"),
    Setup(strategy="fsdp2", world_size=2, routed_experts=True, cpu_offload=True),
    Setup(strategy="tp", world_size=2),
]
"""Known to be right: a form must go on offering them."""


def codes(setup: Setup) -> set[str]:
    return {refusal.code for refusal in check_combination(setup)}


@pytest.mark.parametrize("setup", MEASURED)
def test_what_was_shown_to_be_right_is_offered(setup: Setup) -> None:
    assert not codes(setup)


@pytest.mark.parametrize(("strategy", "bits"), list(product(("fsdp2", "zero3", "tp"), (4, 8))))
def test_a_quantized_model_is_never_split(strategy, bits) -> None:
    assert f"combination.{strategy}_quantized" in codes(Setup(strategy=strategy, bits=bits))


def test_a_form_learns_what_speaks_against_each_strategy() -> None:
    offered = allowed_strategies(Setup(bits=4, world_size=2))
    assert tuple(offered) == STRATEGIES
    assert [s for s, reasons in offered.items() if not reasons] == ["none", "ddp"]


def test_every_reason_is_met_by_some_setup() -> None:
    odd = [
        Setup(**values)
        for values in (
            {"method": "full", "bits": 4}, {"method": "full"}, {"routed_experts": True},
            {"use_dora": True}, {"optim": "adamw_8bit"}, {"optimizer_offload": True},
            {"cpu_offload": True}, {"activation_offload": True}, {"precision": "fp16"},
            {"torch_compile": True}, {"use_liger_kernel": True}, {"device": "cpu"},
            {"device": "cuda:1", "world_size": 2}, {"bits": 8},
            {"optim": "paged_adamw_8bit", "device": "cpu"}, {"use_dora": True, "bits": 8},
            {"optim": "adamw_8bit", "optimizer_offload": True},
        )
    ]  # fmt: skip
    met = {code for s, x in product(STRATEGIES, odd) for code in codes(replace(x, strategy=s))}
    assert met == REFUSAL_CODES


def test_every_reason_has_its_texts_in_both_languages() -> None:
    assert REFUSALS.keys() == REFUSAL_CODES
    for code, texts in REFUSALS.items():
        assert all(texts), code
        assert re.search("[一-鿿]", texts.zh), code
        assert re.search("[一-鿿]", texts.zh_instead), code
        for text in texts:
            assert "–" not in text.format(strategy="fsdp2")


def test_a_spec_tells_its_setup() -> None:
    spec = TrainSpec.parse(
        {
            "model": "m", "data": "d", "load_in_4bit": True,
            "parallel": {"strategy": "fsdp2", "nproc_per_node": 2},
        }
    )  # fmt: skip
    assert codes(setup_of(spec)) == {"combination.fsdp2_quantized"}


def test_slices_of_one_model_share_the_samples_of_a_step() -> None:
    assert (
        ParallelSpec(strategy="ddp", nproc_per_node=4, nnodes=2, rdzv_endpoint="a:1").data_ranks
        == 8
    )
    assert ParallelSpec(strategy="tp", nproc_per_node=4).data_ranks == 1


@pytest.mark.parametrize(
    "values",
    [
        {"nproc_per_node": 2},
        {"strategy": "ddp", "nnodes": 2},
        {"strategy": "ddp", "nnodes": 2, "node_rank": 2, "rdzv_endpoint": "host:29500"},
        {"strategy": "ddp", "rdzv_endpoint": "no port"},
    ],
)
def test_a_meeting_that_cannot_take_place_is_refused(values) -> None:
    with pytest.raises(ValidationError):
        ParallelSpec(**values)
