"""The diagnosis of an alarm looks where a practiced trainer looks, in that order."""

from __future__ import annotations

import itertools
import math
import string
from dataclasses import replace

import pytest

from app.texts.diagnosis import DIAGNOSIS, diagnosis_text
from core.divergence import codes
from core.divergence.diagnosis import FINDING_CODES, DataNumbers, DiagnosisInput, diagnose
from core.protocol.events import Finding

USUAL = DataNumbers([200.0, 180.0, 220.0] * 6, [0.4, 0.5, 0.6] * 6, [0.05] * 18)
CALM = DiagnosisInput(
    alarm=codes.DIVERGING,
    step=160,
    norms_before=[0.8, 1.0, 1.2] * 20,
    norms_lately=[1.0, 1.1, 0.9],
    guilty=DataNumbers([210.0, 190.0], [0.5, 0.5], [0.06, 0.05]),
    usual=USUAL,
    sample_losses=[(3, 2.0), (7, 2.2), (9, 1.9), (11, 2.1)],
    learning_rate=3e-5,
    peak_learning_rate=3e-5,
    warmup_steps=20,
    max_grad_norm=1.0,
)
CASES: dict[str, DiagnosisInput] = {
    "gradient_non_finite": replace(CALM, norms_lately=[1.0, math.nan, math.inf]),
    "gradient_rising": replace(CALM, norms_lately=[1.5, 2.5, 4.0, 9.0]),
    "gradient_jumped": replace(CALM, norms_lately=[1.0, 9.0, 1.1]),
    "gradient_calm": CALM,
    "data_longer": replace(CALM, guilty=DataNumbers([900.0, 800.0])),
    "data_shorter": replace(CALM, guilty=DataNumbers([20.0, 30.0])),
    "data_less_trained": replace(CALM, guilty=DataNumbers([200.0], [0.02])),
    "data_more_trained": replace(CALM, guilty=DataNumbers([200.0], [1.0])),
    "data_outlier_samples": replace(CALM, sample_losses=[(3, 2.0), (7, 2.2), (9, 11.0)]),
    "data_unreadable_samples": replace(CALM, sample_losses=[(3, math.nan), (7, 2.2)]),
    "data_repeats": replace(CALM, guilty=DataNumbers([200.0], [0.5], [0.9])),
    "data_ordinary": CALM,
    "lr_in_warmup": replace(CALM, step=12),
    "lr_at_peak": CALM,
    "lr_lower": CALM,
    "clipping_off": replace(CALM, max_grad_norm=None),
    "clipping_always": replace(CALM, max_grad_norm=0.1),
    "clipping_rare": replace(CALM, max_grad_norm=5.0),
}


def found(known: DiagnosisInput) -> dict[str, Finding]:
    return {f.code: f for f in diagnose(known)}


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def test_every_finding_has_a_case_here_and_words() -> None:
    assert set(CASES) == set(DIAGNOSIS) == FINDING_CODES


@pytest.mark.parametrize("code", sorted(CASES))
def test_a_finding_comes_in_its_case_and_its_words_name_only_its_facts(code: str) -> None:
    finding = found(CASES[code])[code]
    for template in (DIAGNOSIS[code].en, DIAGNOSIS[code].zh):
        assert placeholders(template) <= set(finding.params)
    assert placeholders(DIAGNOSIS[code].en) == placeholders(DIAGNOSIS[code].zh)
    assert "–" not in diagnosis_text(finding, "en") + diagnosis_text(finding, "zh")


def test_findings_come_in_the_order_in_which_one_should_look() -> None:
    kinds = [f.code.split("_")[0] for known in CASES.values() for f in diagnose(known)]
    for known in CASES.values():
        kinds = [f.code.split("_")[0] for f in diagnose(known)]
        order = ["gradient", "data", "lr", "clipping"]
        assert kinds == sorted(kinds, key=order.index)


def test_a_quiet_run_is_called_quiet() -> None:
    assert {"gradient_calm", "data_ordinary"} <= set(found(CALM))


def test_a_step_down_is_proposed_as_a_third_and_only_where_it_helps() -> None:
    facts = found(CALM)["lr_lower"].params
    assert (facts["learning_rate"], facts["lower"]) == (3e-5, pytest.approx(1e-5))
    assert "1e-05" in diagnosis_text(found(CALM)["lr_lower"], "en")
    assert "lr_lower" not in found(replace(CALM, alarm=codes.LEVEL_SHIFT))


def test_outliers_are_named_worst_first_and_not_when_half_the_batch_is_like_them() -> None:
    one = replace(CALM, sample_losses=[(3, 2.0), (5, 8.0), (7, 2.2), (9, 11.0), (2, 2.1)])
    assert found(one)["data_outlier_samples"].params["samples"] == "9, 5"
    half = replace(CALM, sample_losses=[(3, 2.0), (9, 11.0)])
    assert "data_outlier_samples" not in found(half)


def test_many_samples_are_not_all_named() -> None:
    many = [(i, math.nan) for i in range(30)]
    samples = found(replace(CALM, sample_losses=many))["data_unreadable_samples"].params["samples"]
    assert samples == "0, 1, 2, 3, 4, …"


def test_what_nobody_measured_is_not_judged() -> None:
    bare = DiagnosisInput(alarm=codes.DIVERGING, step=5, max_grad_norm=1.0)
    assert diagnose(bare) == ()
    few = replace(bare, norms_before=[1.0] * 3, norms_lately=[50.0])
    assert diagnose(few) == ()


def test_a_finding_of_a_newer_version_is_shown_as_it_is() -> None:
    assert diagnosis_text(Finding(code="of_tomorrow"), "zh") == "of_tomorrow"
    assert "–" in diagnosis_text(Finding(code="lr_lower"), "en")


@pytest.mark.parametrize("code", sorted(DIAGNOSIS))
def test_the_chinese_stands_apart_from_latin(code: str) -> None:
    text = DIAGNOSIS[code].zh
    for left, right in itertools.pairwise(text):
        han = ["\u4e00" <= c <= "\u9fff" for c in (left, right)]
        assert not (han[0] and right.isascii() and right.isalnum()), text
        assert not (han[1] and left.isascii() and left.isalnum()), text
        assert not (han[0] and right in ",;:!?()"), text
