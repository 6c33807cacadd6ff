"""Learning rate and data order as tables."""

from __future__ import annotations

import itertools

import pytest

from core.config.train import TrainSpec
from core.errors import ErrorCode, UsageError
from workers.train.data_order import DataOrder, extent, permutation
from workers.train.schedule import Schedule, make_schedule


def spec(**values: object) -> TrainSpec:
    return TrainSpec.parse({"model": "m", "data": "d", **values})


@pytest.mark.parametrize("total", [2, 10, 36, 300, 1001])
def test_the_rate_rises_to_the_peak_and_ends_at_a_tenth_of_it(total: int) -> None:
    schedule = make_schedule(spec(learning_rate=3e-5), total)
    rates = [schedule.learning_rate(t) for t in range(total)]
    warm = schedule.warmup_steps
    assert rates[0] == pytest.approx(3e-5 / warm)
    assert rates[warm - 1] == 3e-5 == max(rates)
    assert rates[-1] == pytest.approx(3e-6, rel=1e-12)
    assert all(a < b for a, b in itertools.pairwise(rates[:warm]))
    assert all(a > b for a, b in itertools.pairwise(rates[warm - 1 :]))


def test_a_ten_step_run_has_the_rates_of_the_formula() -> None:
    schedule = Schedule(peak=1.0, total_steps=10, warmup_steps=2, min_ratio=0.1)
    expected = [0.5, 1.0, 0.965746, 0.868198, 0.722208, 0.55, 0.377792, 0.231802, 0.134254, 0.1]
    assert [schedule.learning_rate(t) for t in range(10)] == pytest.approx(expected, abs=1e-6)


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    schedule = make_schedule(spec(warmup_ratio=0.0, learning_rate=1e-3), 5)
    assert schedule.learning_rate(0) == 1e-3
    assert schedule.learning_rate(4) == pytest.approx(1e-4)


def test_a_run_of_one_step_trains_at_the_peak() -> None:
    assert make_schedule(spec(learning_rate=1e-3), 1).learning_rate(0) == 1e-3


def test_a_warm_up_as_long_as_the_run_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        make_schedule(spec(warmup_steps=1000), 300)
    assert caught.value.code is ErrorCode.TRAIN_WARMUP_TOO_LONG
    assert caught.value.params == {"warmup_steps": 1000, "total_steps": 300}


def test_an_epoch_shows_every_sample_once_and_the_next_in_another_order() -> None:
    order = DataOrder(samples=50, seed=3)
    first, second = order.window(0, 50), order.window(50, 50)
    assert sorted(first) == sorted(second) == [(i,) for i in range(50)]
    assert first != second


def test_a_window_may_cross_epochs_and_reads_the_same_from_anywhere() -> None:
    whole = DataOrder(7, 1).window(0, 40)
    assert [DataOrder(7, 1).window(i, 1)[0] for i in range(40)] == whole
    assert DataOrder(7, 1).window(5, 10) == whole[5:15]


def test_seeds_give_different_orders() -> None:
    assert list(permutation(0, 0, 100)) != list(permutation(1, 0, 100))


@pytest.mark.parametrize(
    ("values", "samples", "steps", "last"),
    [
        ({"epochs": 1.0}, 32, 2, 16),
        ({"epochs": 1.0}, 33, 3, 1),
        ({"epochs": 3.0}, 5, 1, 15),
        ({"epochs": 0.5}, 100, 4, 2),
        ({"epochs": 0.001}, 5, 1, 1),
        ({"steps": 7}, 3, 7, 16),
    ],
)
def test_a_run_has_the_steps_its_epochs_need_or_those_asked_for(
    values: dict[str, float], samples: int, steps: int, last: int
) -> None:
    length = extent(
        spec(batch_size=4, gradient_accumulation_steps=4, **values), DataOrder(samples, 0)
    )
    assert length.total_steps == steps
    assert length.window_at((steps - 1) * 16) == last
