"""What measured runs teach the forecast, and what they may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.config.train import TrainSpec
from core.planning import Situation, estimate, shape_of
from core.planning.calibration import LARGEST, SMALLEST, Calibration, method_of, observed_ratio
from tests.unit.test_planning_shapes import DEEPSEEK_7B

CARD = "NVIDIA A100"


def spec_of(**values: Any) -> TrainSpec:
    return TrainSpec.parse({"model": "m", "data": "d", **values})


def forecast_of(spec: TrainSpec, correction: float = 1.0) -> Any:
    shape = shape_of(DEEPSEEK_7B)
    assert shape is not None
    return estimate(shape, spec, Situation(2048, correction=correction))


def measured(spec: TrainSpec, ratio: float) -> float:
    """As if everything that changes in a step had taken `ratio` times as much."""
    forecast = forecast_of(spec)
    changing = forecast.parts_gib["activations"] + forecast.parts_gib["logits"]
    return float(forecast.allocated_gib + (ratio - 1) * changing)


def test_a_measured_run_corrects_the_next_forecast(tmp_path: Path) -> None:
    spec, calibration = spec_of(), Calibration(tmp_path / "c.json")
    assert calibration.correction(CARD, method_of(spec)) == 1.0
    calibration.learn(CARD, method_of(spec), forecast_of(spec), measured(spec, 1.2))
    correction = Calibration(tmp_path / "c.json").correction(CARD, method_of(spec))
    assert correction == pytest.approx(1.2)
    corrected = forecast_of(spec, correction).allocated_gib
    assert corrected == pytest.approx(measured(spec, 1.2), rel=0.01)


def test_other_cards_and_methods_are_not_touched(tmp_path: Path) -> None:
    spec, calibration = spec_of(), Calibration(tmp_path / "c.json")
    calibration.learn(CARD, method_of(spec), forecast_of(spec), measured(spec, 1.2))
    assert calibration.correction("another", method_of(spec)) == 1.0
    assert calibration.correction(CARD, method_of(spec_of(load_in_4bit=True))) == 1.0


def test_one_odd_run_changes_nothing(tmp_path: Path) -> None:
    spec, calibration = spec_of(), Calibration(tmp_path / "c.json")
    for ratio in (1.1, 1.1, 1.9, 1.1):
        calibration.learn(CARD, method_of(spec), forecast_of(spec), measured(spec, ratio))
    assert calibration.correction(CARD, method_of(spec)) == pytest.approx(1.1)


@pytest.mark.parametrize(("ratio", "expected"), [(2.9, LARGEST), (0.4, SMALLEST)])
def test_a_correction_is_bounded(tmp_path: Path, ratio: float, expected: float) -> None:
    spec, calibration = spec_of(), Calibration(tmp_path / "c.json")
    calibration.learn(CARD, method_of(spec), forecast_of(spec), measured(spec, ratio))
    assert calibration.correction(CARD, method_of(spec)) == expected


@pytest.mark.parametrize("gib", [float("nan"), float("inf"), 0.0, 1e6])
def test_nonsense_is_not_learned(tmp_path: Path, gib: float) -> None:
    spec, calibration = spec_of(), Calibration(tmp_path / "c.json")
    assert observed_ratio(forecast_of(spec), gib) is None
    calibration.learn(CARD, method_of(spec), forecast_of(spec), gib)
    assert not (tmp_path / "c.json").exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"ratios": 3}', "[" * 100_000, '{"ratios": {"NVIDIA A100 | x": "y"}}',
     '{"ratios": {"NVIDIA A100 | x": [null, "a", true, -1, {}]}}', '{"ratios": {"x": NaN}}'],
)  # fmt: skip
def test_a_damaged_file_is_the_same_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text, "utf-8")
    calibration = Calibration(path)
    assert calibration.correction(CARD, "x") == 1.0
    spec = spec_of()
    calibration.learn(CARD, method_of(spec), forecast_of(spec), measured(spec, 1.2))
    assert calibration.correction(CARD, method_of(spec)) == pytest.approx(1.2)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", "utf-8")
    spec = spec_of()
    Calibration(blocked / "c.json").learn(
        CARD, method_of(spec), forecast_of(spec), measured(spec, 1.2)
    )
