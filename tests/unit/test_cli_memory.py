"""What the command line says of memory, and how a measure is taken with it."""

from __future__ import annotations

import io
from typing import Any

import pytest

from app.cli import build_parser
from app.commands.output import Output
from app.commands.train import assign
from app.commands.train_memory import assignments, tell_dry_run, tell_ran_out
from core.config.train import TrainSpec
from core.protocol.events import DryRunDone, Finding, LadderRung, MemoryRanOut

RUNGS = [
    LadderRung(code="chunked_loss", changes={"chunked_loss": True}, saves_gib=4.8, slower=1.02),
    LadderRung(code="bf16_adapters", changes={"lora": {"dtype": "bf16"}}, saves_gib=1.2),
    LadderRung(code="more_gpus"),
]


def said(tell: Any, event: Any, *more: Any, language: Any = "en") -> str:
    stream = io.StringIO()
    tell(event, *more, Output(as_json=False, language=language, stream=stream))
    return stream.getvalue()


@pytest.mark.parametrize("rung", RUNGS)
def test_what_is_printed_can_be_typed_back(rung: LadderRung) -> None:
    values: dict[str, Any] = {}
    for assignment in assignments(rung.changes):
        assign(values, assignment, TrainSpec)
    assert values == rung.changes


def test_a_resume_takes_settings() -> None:
    parsed = build_parser("en").parse_args(
        ["runs", "resume", "run-1", "--set", "chunked_loss=true", "lora.dtype=bf16"]
    )
    assert parsed.set == ["chunked_loss=true", "lora.dtype=bf16"]


def test_an_end_by_memory_says_why_and_what_to_type() -> None:
    finding = Finding(code="memory.largest_part", params={"part": "logits", "gib": 4.8})
    event = MemoryRanOut(
        step=7, allocated_gib=22.5, limit_gib=24.0, findings=[finding], ladder=RUNGS
    )
    text = said(tell_ran_out, event, "run-1")
    assert "Memory ran out at step 7: 22.50 of 24.00 GiB were in use." in text
    assert "logits of the vocabulary: 4.8 GiB" in text
    assert "Compute the loss piece by piece (saves about 4.80 GiB)" in text
    assert "deepdeck runs resume run-1 --set chunked_loss=true" in text
    assert "deepdeck runs resume run-1" in said(tell_ran_out, event, "run-1", language="zh")


def test_a_run_that_goes_on_says_with_what() -> None:
    event = MemoryRanOut(applied="chunked_loss,smaller_micro_batch", ladder=RUNGS)
    text = said(tell_ran_out, event, "run-1")
    assert "Going on with: Compute the loss piece by piece; Smaller micro-batches" in text
    assert "resume" not in text


def test_a_try_out_is_one_line_and_its_problems() -> None:
    problem = Finding(
        code="dry_run.disk_small", params={"checkpoints": 4, "needed_gib": 9.0, "free_gib": 2.0}
    )
    event = DryRunDone(
        longest_tokens=2048, rows=4, peak_memory_gib=19.25, step_time_s=1.5, total_time_s=4000,
        problems=[problem],
    )  # fmt: skip
    text = said(tell_dry_run, event)
    assert "4 x 2048 tokens, peak 19.25 GiB, 1.5 s a step, about 1:06:40 in all" in text
    assert "! 4 checkpoints need 9.0 GiB, 2.0 GiB are free." in text
