"""Runs that go wrong in different ways, and runs that only look so."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import pytest

from core.divergence import Alarm, Detectors, DetectorSettings
from core.protocol.events import AlarmCleared, AlarmRaised, EvalDone, TrainStep

WARMUP = 20


def steps_of(
    losses: Iterable[float], norms: Iterable[float] | None = None, start: int = 1, **facts: Any
) -> list[TrainStep]:
    """Steps with these losses; norms of about 1 where none are given."""
    values = [float(x) for x in losses]
    calm = np.exp(0.3 * np.random.default_rng(len(values)).standard_normal(len(values)))
    given = list(calm if norms is None else norms)
    known = {"target_tokens": 3000, "step_time_s": 0.1, **facts}
    return [
        TrainStep(step=start + i, loss=x, grad_norm=float(n), **known)
        for i, (x, n) in enumerate(zip(values, given, strict=True))
    ]


def falling(count: int, seed: int = 0, noise: float = 0.08) -> np.ndarray:
    """A loss as it should be: 3.5 falling to 2."""
    t = np.arange(count)
    return 2 + 1.5 * np.exp(-t / 60) + noise * np.random.default_rng(seed).standard_normal(count)


def watch(steps: Iterable[TrainStep], detectors: Detectors | None = None) -> list[Alarm]:
    """All that is said about these steps."""
    d = detectors or new()
    return [a for s in steps for a in d.observe(s)]


def new(**changes: Any) -> Detectors:
    return Detectors(DetectorSettings(**{"warmup_steps": WARMUP, **changes}))


def raised(alarms: Iterable[Alarm], *names: str) -> list[tuple[str, int]]:
    return [
        (a.alarm, a.step)
        for a in alarms
        if isinstance(a, AlarmRaised) and (not names or a.alarm in names)
    ]


def cleared(alarms: Iterable[Alarm]) -> list[str]:
    return [a.alarm for a in alarms if isinstance(a, AlarmCleared)]


def diverging_run(total: int = 300, fault: int = 200, norm_ratio: float = 6.0) -> list[TrainStep]:
    """Loss and gradients leave their way within 30 steps."""
    losses, ramp = falling(total), np.clip((np.arange(total) - fault) / 30, 0, 1)
    norms = np.exp(0.3 * np.random.default_rng(9).standard_normal(total))
    return steps_of(losses + 1.5 * ramp, norms * (1 + (norm_ratio - 1) * ramp))


LEVEL = ("diverging", "level_shift")


@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_learns_raises_nothing_of_weight(seed: int) -> None:
    said = raised(watch(steps_of(falling(600, seed, noise=0.2))))
    assert {name for name, _ in said} <= {"loss_spike", "grad_norm_spike"}


def test_a_run_that_leaves_its_way_is_diverging_once_within_20_steps() -> None:
    (only,) = raised(watch(diverging_run()), *LEVEL)
    assert only[0] == "diverging"
    assert 201 <= only[1] <= 225


def test_the_alarm_names_the_step_where_it_began_and_why() -> None:
    alarms = [a for a in watch(diverging_run()) if isinstance(a, AlarmRaised)]
    (alarm,) = [a for a in alarms if a.alarm == "diverging"]
    assert alarm.severity == "error"
    assert alarm.value > alarm.threshold > 2.1
    assert 195 <= int(alarm.detail) < alarm.step


def test_a_run_that_finds_back_clears_its_alarm() -> None:
    losses = falling(400)
    losses[200:240] += 1.5
    norms = np.ones(400)
    norms[198:240] = 5.0
    alarms = watch(steps_of(losses, norms))
    assert [name for name, _ in raised(alarms, *LEVEL)] == ["diverging"]
    assert "diverging" in cleared(alarms)


def test_a_higher_level_with_calm_gradients_asks_whether_the_data_changed() -> None:
    losses = falling(300)
    losses[200:] += 0.8
    said = raised(watch(steps_of(losses)), *LEVEL)
    assert [name for name, _ in said] == ["level_shift"]


def test_a_change_of_data_that_turns_into_divergence_is_said_as_such() -> None:
    losses, norms = falling(320), np.ones(320)
    losses[200:] += 0.8
    losses[260:] += 1.0
    norms[255:] = 6.0
    alarms = watch(steps_of(losses, norms))
    assert [name for name, _ in raised(alarms, *LEVEL)] == ["level_shift", "diverging"]
    assert "level_shift" in cleared(alarms)


def test_a_level_that_lasts_is_accepted_and_watched_from_there() -> None:
    losses, norms = falling(700), np.ones(700)
    losses[200:] += 0.8
    losses[600:] += 0.8
    norms[598:] = 6.0
    alarms = watch(steps_of(losses, norms))
    assert [name for name, _ in raised(alarms, *LEVEL)] == ["level_shift", "diverging"]
    assert cleared(alarms).count("level_shift") == 1


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("height", [1.0, 4.0, 50.0])
def test_a_burst_of_odd_batches_is_a_mark_and_no_divergence(length: int, height: float) -> None:
    losses, norms = falling(400, seed=3), np.ones(400)
    losses[250 : 250 + length] += height
    norms[250 : 250 + length] = 9.0
    assert raised(watch(steps_of(losses, norms)), *LEVEL) == []


def test_losses_that_drop_at_each_new_epoch_are_no_trouble() -> None:
    losses = falling(600) - 0.25 * (np.arange(600) // 100)
    assert raised(watch(steps_of(losses)), *LEVEL) == []


def test_the_level_is_not_judged_during_the_warm_up() -> None:
    losses = np.concatenate([np.full(15, 2.0), np.full(45, 3.5)]) + 0.05 * falling(60)
    norms = np.concatenate([np.ones(14), np.full(46, 5.0)])
    early = raised(watch(steps_of(losses, norms), new(warmup_steps=100)), *LEVEL)
    assert early == []


def test_a_noisy_run_is_given_a_wider_band_than_a_quiet_one() -> None:
    shift = np.where(np.arange(400) >= 300, 0.35, 0.0)
    quiet = raised(watch(steps_of(falling(400, noise=0.03) + shift)), *LEVEL)
    noisy = raised(watch(steps_of(falling(400, noise=0.5) + shift)), *LEVEL)
    assert len(quiet) == 1
    assert noisy == []


def test_few_tokens_a_step_make_the_mean_longer_within_bounds() -> None:
    spans = []
    for tokens in (5_000, 190, 10):
        detectors = new()
        watch(steps_of(falling(50), target_tokens=tokens), detectors)
        spans.append(detectors.level.span_steps)
    assert spans[0] == 10.0
    assert spans[1] == pytest.approx(2000 / 190)
    assert spans[2] == 12.0


def test_trouble_that_is_being_counted_is_suspicious_before_it_is_an_alarm() -> None:
    detectors, run = new(), diverging_run()
    watch(run[:190], detectors)
    assert (detectors.suspicious, detectors.first_suspect_step) == (False, None)
    alarmed = None
    for step in run[190:]:
        before = detectors.first_suspect_step
        if raised(detectors.observe(step), "diverging"):
            alarmed = step.step
            break
    assert alarmed is not None
    assert before is not None
    assert before <= alarmed - 4
    assert detectors.first_suspect_step == before


def test_after_a_rollback_the_best_level_stays_and_counting_begins_anew() -> None:
    detectors, run = new(), diverging_run()
    watch(run[:230], detectors)
    best = detectors.level.best
    assert detectors.first_suspect_step is not None
    detectors.after_rollback(180)
    assert not detectors.suspicious
    assert (detectors.level.best, detectors.last_step) == (best, 180)
    again = steps_of(falling(150, seed=5)[110:], start=181)
    assert raised(watch(again, detectors), *LEVEL) == []


def test_a_run_that_diverges_again_after_a_rollback_is_caught_again() -> None:
    detectors, run = new(), diverging_run()
    watch(run[:180], detectors)
    healthy = json.loads(json.dumps(detectors.state()))
    watch(run[180:230], detectors)
    detectors.restore(healthy)
    detectors.after_rollback(180)
    (again,) = raised(watch(run[180:260], detectors), *LEVEL)
    assert again[0] == "diverging"


def test_a_rate_that_rises_again_after_a_rollback_makes_no_alarm() -> None:
    detectors = new()
    watch(steps_of(falling(200)), detectors)
    detectors.after_rollback(150)
    norms = np.linspace(0.3, 1.2, 120)
    again = steps_of(falling(320, seed=8)[200:] + 0.05, norms, start=151)
    assert raised(watch(again, detectors), *LEVEL) == []


def test_a_loss_that_does_not_fall_is_said_once_after_warm_up_and_grace() -> None:
    flat = 2.0 + 0.01 * np.random.default_rng(2).standard_normal(400)
    flat[:10] = 1.995
    (only,) = raised(watch(steps_of(flat)), "not_learning")
    assert only == ("not_learning", WARMUP + 101)


def test_a_model_that_guesses_is_told_sooner() -> None:
    losses = math.log(1000) + 0.01 * np.random.default_rng(2).standard_normal(60)
    alarms = watch(steps_of(losses), new(vocabulary=1000))
    (alarm,) = [a for a in alarms if isinstance(a, AlarmRaised) and a.alarm == "not_learning"]
    assert (alarm.step, alarm.detail) == (WARMUP + 1, "chance")


def test_a_run_that_learns_late_clears_it_and_is_never_called_so_again() -> None:
    losses = np.concatenate([np.full(150, 2.0), np.linspace(2.0, 1.0, 60), np.full(300, 2.0)])
    alarms = watch(steps_of(losses + 0.01 * falling(510)))
    assert len(raised(alarms, "not_learning")) == 1
    assert "not_learning" in cleared(alarms)


@pytest.mark.parametrize(
    ("losses", "norms", "detail"),
    [
        ([0.0] * 5, [1.0] * 5, "zero"),
        ([2.5] * 5, [1.0] * 5, "constant"),
        ([2.5, 2.4, 2.6, 2.3, 2.2], [0.0] * 5, "no_gradient"),
    ],
)
def test_a_loss_that_cannot_be_right_is_told_within_five_steps(
    losses: list[float], norms: list[float], detail: str
) -> None:
    found = [a for a in watch(steps_of(losses, norms)) if isinstance(a, AlarmRaised)]
    assert [(a.alarm, a.detail) for a in found] == [("loss_zero_or_constant", detail)]


def test_it_is_said_once_however_long_it_lasts() -> None:
    assert len(raised(watch(steps_of([0.0] * 60)), "loss_zero_or_constant")) == 1


@pytest.mark.parametrize("facts", [{"target_tokens": 5}, {"trained_share": 0.001}])
def test_hardly_any_trained_token_is_a_warning(facts: dict[str, Any]) -> None:
    assert raised(watch(steps_of(falling(20), **facts))) == [("few_trained_tokens", 3)]


def test_one_short_batch_is_no_reason_to_warn() -> None:
    steps = steps_of(falling(20))
    steps[7] = steps[7].model_copy(update={"target_tokens": 3})
    assert raised(watch(steps)) == []


def evals(*losses: float, every: int = 50) -> list[EvalDone]:
    return [EvalDone(step=every * i, loss=x) for i, x in enumerate(losses)]


def watch_evals(detectors: Detectors, losses: np.ndarray, done: list[EvalDone]) -> list[Alarm]:
    said, steps = [], steps_of(losses)
    for one in done:
        while steps and steps[0].step <= one.step:
            detectors.observe(steps.pop(0))
        said += detectors.observe_eval(one)
    return said


def test_three_rises_of_evaluation_while_training_falls_is_over_fit_and_names_the_best() -> None:
    losses = np.linspace(3, 1, 400)
    said = watch_evals(new(), losses, evals(3.0, 2.5, 2.2, 2.25, 2.3, 2.4, 2.5))
    (alarm,) = said
    assert isinstance(alarm, AlarmRaised)
    assert (alarm.alarm, alarm.step, alarm.detail) == ("overfit", 250, "100")
    assert (alarm.value, alarm.threshold) == (2.4, 2.2)


def test_an_evaluation_that_trembles_is_no_over_fit() -> None:
    losses = np.linspace(3, 1, 400)
    assert watch_evals(new(), losses, evals(2.5, 2.5, 2.503, 2.505, 2.509, 2.51)) == []
    assert watch_evals(new(), losses, evals(2.5, 2.6, 2.7, 2.5, 2.6, 2.7)) == []


def test_evaluation_and_training_that_rise_together_are_not_over_fit() -> None:
    assert watch_evals(new(), np.linspace(1, 3, 400), evals(2.5, 2.6, 2.7, 2.8, 2.9)) == []


def test_splits_are_judged_apart_and_a_new_best_clears() -> None:
    detectors = new()
    watch(steps_of(np.linspace(3, 1, 200)), detectors)
    for i, x in enumerate((2.0, 2.1, 2.2)):
        assert detectors.observe_eval(EvalDone(step=i, split="a", loss=x)) == []
        assert detectors.observe_eval(EvalDone(step=i, split="b", loss=4 - x)) == []
    watch(steps_of(np.linspace(1, 0.5, 50), start=201), detectors)
    first = detectors.observe_eval(EvalDone(step=250, split="a", loss=2.3))
    assert raised(first) == [("overfit", 250)]
    better = detectors.observe_eval(EvalDone(step=300, split="a", loss=1.9))
    assert cleared(better) == ["overfit"]


def test_memory_that_grows_on_and_on_is_told_and_a_plateau_is_not() -> None:
    def run(gib: np.ndarray) -> list[tuple[str, int]]:
        steps = steps_of(falling(len(gib)))
        held = [s.model_copy(update={"memory_gib": g}) for s, g in zip(steps, gib, strict=True)]
        return raised(watch(held), "memory_creep")

    t = np.arange(500)
    assert run(10 + 0.01 * t)[:1] == [("memory_creep", 200)]
    assert run(np.where(t < 120, 8.0, 12.0) + 0.001 * np.sin(t)) == []
    assert run(10 + np.abs(np.random.default_rng(0).standard_normal(500))) == []


def test_a_slow_down_that_lasts_is_told_once_and_cleared() -> None:
    rates = np.concatenate([np.full(200, 5000.0), np.full(150, 2500.0), np.full(100, 5000.0)])
    steps = steps_of(falling(450))
    paced = [
        s.model_copy(update={"tokens_per_second": r}) for s, r in zip(steps, rates, strict=True)
    ]
    alarms = watch(paced)
    (only,) = raised(alarms, "throughput_drop")
    assert 250 < only[1] < 290
    assert cleared(alarms) == ["throughput_drop"]


def test_short_pauses_are_no_slow_down() -> None:
    rates = np.where(np.arange(400) % 50 < 8, 100.0, 5000.0)
    steps = steps_of(falling(400))
    paced = [
        s.model_copy(update={"tokens_per_second": r}) for s, r in zip(steps, rates, strict=True)
    ]
    assert raised(watch(paced), "throughput_drop") == []


def test_five_bad_steps_of_a_hundred_are_repeated_and_forgotten_after_as_many_good_ones() -> None:
    losses = falling(400)
    losses[[150, 160, 170, 180, 190]] = math.nan
    alarms = watch(steps_of(losses))
    assert raised(alarms, "non_finite_repeated") == [("non_finite_repeated", 191)]
    assert "non_finite_repeated" in cleared(alarms)


def test_where_non_finite_trouble_began_is_known() -> None:
    detectors, losses = new(), falling(120)
    losses[[60, 100, 101, 102]] = math.nan
    run = steps_of(losses)
    watch(run[:103], detectors)
    assert (detectors.suspicious, detectors.first_suspect_step) == (True, 101)
    detectors.after_rollback(80)
    assert not detectors.suspicious


def test_an_update_is_an_outlier_only_when_its_norm_is_far_off_too() -> None:
    detectors = new()
    watch(steps_of(falling(200)), detectors)
    assert detectors.outlier(9.0, 30.0)
    assert detectors.outlier(2.0, 30.0)
    assert not detectors.outlier(9.0, 5.0)
    assert not detectors.outlier(math.nan, 30.0)
    assert not new().outlier(9.0, 30.0)


@cache
def troubled_run() -> list[TrainStep]:
    """A bit of everything."""
    losses, norms = falling(420), np.ones(420)
    norms += 0.1 * np.random.default_rng(4).standard_normal(420)
    losses[[100, 101, 102]] = math.nan
    losses[130] += 6
    norms[[140, 141]] = [40.0, 5e3]
    losses[180:230] += 1.5
    norms[178:230] *= 6
    losses[300:] += 0.8
    steps = steps_of(losses, norms, tokens_per_second=4000.0)
    return [
        s.model_copy(
            update={
                "memory_gib": 10 + 0.01 * s.step,
                "tokens_per_second": 4000.0 if s.step < 250 else 1500.0,
                "target_tokens": 4 if 50 <= s.step < 56 else 3000,
            }
        )
        for s in steps
    ]


@cache
def unbroken() -> tuple[list[Alarm], dict[str, Any]]:
    detectors = new()
    return watch(troubled_run(), detectors), detectors.state()


@pytest.mark.parametrize("cut", [1, 9, 53, 101, 131, 141, 183, 199, 231, 290, 312, 415])
def test_a_run_cut_anywhere_alarms_as_the_unbroken_one(cut: int) -> None:
    run, first, second = troubled_run(), new(), new()
    whole, end = unbroken()
    head = watch(run[:cut], first)
    second.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
    assert head + watch(run[cut:], second) == whole
    assert second.state() == end


def test_the_troubled_run_has_trouble_of_every_kind() -> None:
    names = {name for name, _ in raised(unbroken()[0])}
    assert names == {
        "non_finite", "non_finite_repeated", "loss_spike", "grad_norm_high", "grad_norm_spike",
        "diverging", "level_shift", "memory_creep", "throughput_drop", "few_trained_tokens",
    }  # fmt: skip


def test_a_checkpoint_of_an_older_version_starts_what_it_does_not_know_anew() -> None:
    detectors = new()
    detectors.restore({"losses": [2.0, 2.1], "step_times_s": [1.0], "last_step": 7})
    assert detectors.last_step == 7
    assert raised(watch(steps_of(falling(100), start=8), detectors)) == []
