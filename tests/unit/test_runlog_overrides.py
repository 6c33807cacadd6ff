"""Changes of a run's spec after its start."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import AppError
from core.runlog.overrides import add_changes, effective_spec, read_changes
from core.runlog.run_dir import RunDir

SPEC = {"model": "m", "lora": {"r": 16, "dtype": "fp32"}, "chunked_loss": False}


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "run-1", {"v": 1, "job": "train", "spec": SPEC})


def test_a_run_without_changes_is_what_it_was_made_as(run: RunDir) -> None:
    assert read_changes(run) == {}
    assert effective_spec(run) == SPEC


def test_changes_add_up_and_the_first_spec_stays(run: RunDir) -> None:
    add_changes(run, {"chunked_loss": True}, code="chunked_loss", step=3)
    add_changes(run, {"lora": {"dtype": "bf16"}}, code="bf16_adapters", step=9)
    assert effective_spec(run) == SPEC | {
        "chunked_loss": True, "lora": {"r": 16, "dtype": "bf16"}
    }  # fmt: skip
    assert run.document()["spec"] == SPEC


@pytest.mark.parametrize("text", ["{", "[]", '{"changes": 3}'])
def test_damaged_changes_are_said_not_left_out(run: RunDir, text: str) -> None:
    run.overrides.write_text(text, "utf-8")
    with pytest.raises(AppError) as caught:
        effective_spec(run)
    assert caught.value.code == "file.damaged"
