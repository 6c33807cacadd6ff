"""Presets are data: complete in both languages, valid, and the form can begin with any of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.config.presets import Preset, merge, train_preset, train_presets
from core.config.train import TrainSpec
from core.errors import AppError, ErrorCode, UsageError

PRESETS = train_presets()


def spec_of(preset: Preset) -> TrainSpec:
    return TrainSpec.parse({"model": "m", "data": "d", **preset.values})


def test_the_presets_come_in_the_order_of_the_form() -> None:
    assert [p.id for p in PRESETS] == [
        "guide-default", "lora-recommended", "qlora", "reasoning", "full-small",
        "continued-pretraining", "starter-demo",
    ]  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.id)
def test_every_preset_speaks_both_languages_and_gives_a_valid_spec(preset: Preset) -> None:
    for texts in (preset.name, preset.description):
        assert texts.keys() == {"en", "zh"}
        assert all(text.strip() for text in texts.values())
        assert any("\u4e00" <= c <= "\u9fff" for c in texts["zh"])
    assert spec_of(preset).model == "m"


def test_the_guide_default_is_what_the_spec_does_by_itself() -> None:
    assert spec_of(train_preset("guide-default")) == TrainSpec(model="m", data="d")


def test_a_preset_goes_over_what_was_there_field_by_field() -> None:
    below = {"model": "m", "learning_rate": 1.0, "lora": {"r": 4, "extra": 1}}
    above = {"learning_rate": 2.0, "lora": {"r": 8}}
    assert merge(below, above) == {
        "model": "m", "learning_rate": 2.0, "lora": {"r": 8, "extra": 1},
    }  # fmt: skip
    assert below["lora"] == {"r": 4, "extra": 1}


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        train_preset("turbo")
    assert "guide-default" in caught.value.detail


@pytest.mark.parametrize("values", [{"learning_rate": -1}, {"no_such_field": 1}])
def test_a_preset_that_gives_no_valid_spec_is_damaged(
    tmp_path: Path, values: dict[str, float]
) -> None:
    text = {"id": "x", "name": {}, "description": {}, "values": values}
    (tmp_path / "x.json").write_text(json.dumps(text))
    with pytest.raises(AppError) as caught:
        train_presets(tmp_path)
    assert caught.value.code is ErrorCode.FILE_DAMAGED
