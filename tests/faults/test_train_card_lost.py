"""A card that is gone is told from a program's mistake, and the run can be resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ErrorCode
from core.protocol.events import CheckpointSaved
from tests.train_runs import last_word, make_run, of, run_here, tiny_model, write_data
from workers.train.device import card_lost

LOST = (
    "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported",
    "CUDA error: GPU is lost",
    "CUDA error: uncorrectable ECC error encountered",
    "CUDA error: the launch timed out and was terminated",
    "CUDA driver error: unknown error",
)
NOT_LOST = (
    "CUDA error: device-side assert triggered",
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: no kernel image is available for execution on the device",
    "CUDA out of memory. Tried to allocate 20.00 MiB",
    "an unknown error of some library",
)


@pytest.mark.parametrize("text", LOST)
def test_the_words_of_a_lost_card_are_known(text: str) -> None:
    found = card_lost(RuntimeError(text), "cuda:1")
    assert found is not None
    assert found.code is ErrorCode.TRAIN_GPU_LOST
    assert found.params["device"] == "cuda:1"
    assert "\n" not in found.detail


@pytest.mark.parametrize("text", NOT_LOST)
def test_a_mistake_of_a_program_is_not_blamed_on_the_card(text: str) -> None:
    assert card_lost(RuntimeError(text), "cuda") is None


def test_a_run_whose_card_is_gone_says_so_and_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.train.stepper import Stepper

    run = make_run(
        tmp_path / "runs",
        tiny_model(tmp_path / "m"),
        write_data(tmp_path / "d.jsonl"),
        save_steps=2,
        dry_run=False,
    )
    real, calls = Stepper.step, []

    def step(self: Stepper, *args: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError(LOST[0])
        return real(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Stepper, "step", step)
    events = run_here(run)
    error = last_word(events).error
    assert error is not None
    assert error.code == ErrorCode.TRAIN_GPU_LOST
    assert [c.step for c in of(CheckpointSaved, events)][-1] == 2
    assert last_word(run_here(run)).outcome == "completed"
