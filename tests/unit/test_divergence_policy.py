"""What is done about an alarm: never more than the user allows, nor than the alarm can carry."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import get_args

import pytest

from core.divergence import codes
from core.divergence.policy import (
    CEILINGS,
    GUARDS,
    Decision,
    Guard,
    PolicySettings,
    Rollback,
    decide,
    healthy_snapshot,
    lr_share,
    surviving_snapshots,
)
from core.protocol.events import AlarmRaised
from core.runlog.state import LASTING_ALARMS


def alarm(code: str = codes.DIVERGING, step: int = 160) -> AlarmRaised:
    return AlarmRaised(alarm=code, severity="error", step=step)


def decided(
    guard: Guard = "rollback", *codes_raised: str, rollbacks: int = 0, first: int | None = 150
) -> Decision:
    decision = decide(
        [alarm(c) for c in codes_raised or (codes.DIVERGING,)],
        guard,
        rollbacks=[Rollback(codes.DIVERGING, 160, 120)] * rollbacks,
        snapshots=(145, 60, 120, 139),
        first_suspect_step=first,
    )
    assert decision is not None
    return decision


def test_without_an_alarm_there_is_nothing_to_decide() -> None:
    assert decide([], "rollback", snapshots=[1, 2]) is None


def test_a_divergence_goes_back_behind_its_beginning_and_cuts_the_rate_to_a_third() -> None:
    decision = decided()
    assert (decision.action, decision.reason, decision.to_step) == ("rollback", "as_chosen", 139)
    assert 3e-5 * decision.lr_factor == pytest.approx(1e-5, rel=1e-12)
    assert (decision.skip_from_step, decision.skip_to_step) == (140, 160)
    assert decision.rewarm_steps >= 20


@pytest.mark.parametrize("guard", GUARDS)
def test_a_divergence_does_what_the_user_chose_and_offers_the_rest(guard: Guard) -> None:
    decision = decided(guard)
    assert (decision.action, decision.to_step, decision.can_roll_back) == (guard, 139, True)


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("code", sorted(codes.ALARM_CODES))
def test_no_alarm_does_more_than_the_user_allows(code: str, guard: Guard) -> None:
    assert GUARDS.index(decided(guard, code).action) <= GUARDS.index(guard)


@pytest.mark.parametrize("code", sorted(codes.ALARM_CODES))
def test_only_divergence_and_repeated_non_finite_steps_roll_back(code: str) -> None:
    rolls = decided("rollback", code).action == "rollback"
    assert rolls == (code in {codes.DIVERGING, codes.NON_FINITE_REPEATED})


def test_a_change_of_data_asks_and_a_spike_marks() -> None:
    asked, marked = decided("rollback", codes.LEVEL_SHIFT), decided("rollback", codes.LOSS_SPIKE)
    assert (asked.action, asked.reason) == ("pause", "alarm_only_warns")
    assert (marked.action, marked.can_roll_back) == ("mark", False)


@pytest.mark.parametrize(("step", "action"), [(160, "rollback"), (220, "rollback"), (221, "pause")])
def test_a_level_that_is_left_again_soon_after_a_rollback_is_not_the_data(
    step: int, action: str
) -> None:
    decision = decide(
        [alarm(codes.LEVEL_SHIFT, step)],
        "rollback",
        rollbacks=[Rollback(codes.DIVERGING, 150, 120)],
        snapshots=[100, 120],
        first_suspect_step=step - 20,
    )
    assert decision is not None
    assert decision.action == action


def test_an_alarm_of_a_newer_version_only_notifies() -> None:
    assert decided("rollback", "of_tomorrow").action == "notify"


def test_of_several_alarms_the_strongest_decides() -> None:
    decision = decided("rollback", codes.LOSS_SPIKE, codes.DIVERGING, codes.GRAD_NORM_HIGH)
    assert (decision.action, decision.alarm) == ("rollback", codes.DIVERGING)


@pytest.mark.parametrize(("done", "action"), [(0, "rollback"), (2, "rollback"), (3, "pause")])
def test_after_three_rollbacks_the_run_pauses_and_asks(done: int, action: str) -> None:
    decision = decided(rollbacks=done)
    assert decision.action == action
    assert (decision.reason == "rollbacks_spent") == (done == 3)
    assert decision.can_roll_back


def test_without_a_healthy_snapshot_the_run_pauses_and_says_why() -> None:
    decision = decided(first=40)
    assert (decision.action, decision.reason, decision.to_step) == ("pause", "no_snapshot", None)
    assert (decision.lr_factor, decision.skip_from_step, decision.can_roll_back) == (
        1,
        None,
        False,
    )


def test_who_only_wants_a_notice_hears_nothing_of_missing_snapshots() -> None:
    assert decided("notify", first=40).reason == "as_chosen"


def test_when_nobody_knows_the_first_suspect_step_the_alarm_counts_as_first() -> None:
    assert decided(first=None).to_step == 145


@pytest.mark.parametrize(
    ("first", "snapshot"), [(151, 140), (150, 120), (131, 120), (130, 60), (70, None), (5, None)]
)
def test_a_snapshot_has_to_be_older_than_the_trouble_by_more_than_the_margin(
    first: int, snapshot: int | None
) -> None:
    assert healthy_snapshot([120, 60, 140], first, 10) == snapshot


def test_snapshots_of_the_abandoned_steps_are_forgotten() -> None:
    assert surviving_snapshots([140, 60, 120], 120) == [60, 120]


def test_the_rate_rises_again_in_a_straight_line() -> None:
    shares = [lr_share(n, 20) for n in range(30)]
    assert shares[:2] == [1 / 20, 2 / 20]
    assert shares[18] < shares[19] == 1.0
    assert set(shares[20:]) == {1.0}
    assert lr_share(0, 0) == 1.0


def test_a_rollback_survives_json() -> None:
    rollback = Rollback(codes.DIVERGING, 160, 120)
    assert Rollback(**json.loads(json.dumps(asdict(rollback)))) == rollback


def test_the_choice_of_the_user_has_a_fixed_order() -> None:
    assert get_args(Guard) == GUARDS
    assert set(CEILINGS) <= codes.ALARM_CODES
    assert PolicySettings().max_rollbacks == 3


def test_a_fold_holds_every_alarm_that_is_cleared_later() -> None:
    assert codes.LASTING_CODES <= LASTING_ALARMS
