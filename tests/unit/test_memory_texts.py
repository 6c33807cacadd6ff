"""Every code of memory has its words in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.texts import memory as texts
from core.hardware import GpuUser
from core.paths import PROJECT_ROOT
from core.planning import Room, Verdict
from core.planning.ladder import _SLOWER
from core.planning.memory import PARTS
from core.protocol.events import Finding

WORKERS = PROJECT_ROOT / "workers" / "train"
_CODE = re.compile(r'^[A-Z_]+ = "((?:memory|dry_run)\.[a-z_]+)"$', re.MULTILINE)


def codes_of(path: Path) -> set[str]:
    return set(_CODE.findall(path.read_text("utf-8")))


def test_every_finding_of_the_worker_has_a_sentence_and_no_other() -> None:
    said = codes_of(WORKERS / "dry_run.py") | codes_of(WORKERS / "memory_ladder.py")
    assert len(said) > 10
    assert said == set(texts.FINDINGS)


def test_every_rung_and_every_part_has_a_name() -> None:
    assert set(_SLOWER) == set(texts.RUNGS)
    assert set(PARTS) <= set(texts.PARTS)


@pytest.mark.parametrize("code", sorted(texts.FINDINGS))
def test_both_languages_use_the_same_facts(code: str) -> None:
    en, zh = texts.FINDINGS[code]
    assert set(re.findall(r"{(\w+)}", en)) == set(re.findall(r"{(\w+)}", zh))


def test_parts_and_phases_are_words_in_a_sentence() -> None:
    part = Finding(code="memory.largest_part", params={"part": "logits", "gib": 4.5})
    assert texts.memory_finding_text(part, "en").startswith("The largest part is logits of the")
    assert "词表 logits" in texts.memory_finding_text(part, "zh")
    phase = Finding(code="memory.while", params={"phase": "evaluating"})
    assert texts.memory_finding_text(phase, "en") == "It happened while the run was evaluating."


def test_what_is_newer_than_this_program_is_shown_as_it_is() -> None:
    assert texts.memory_finding_text(Finding(code="memory.new"), "en") == "memory.new"
    assert texts.rung_text("new_rung", "zh").name == "new_rung"
    assert "–" in texts.memory_finding_text(Finding(code="memory.grew"), "en")


def test_measures_taken_together_are_named_together() -> None:
    both = texts.rung_text("chunked_loss,smaller_micro_batch", "en")
    assert both.name == "Compute the loss piece by piece; Smaller micro-batches"


def test_a_verdict_names_who_is_in_the_way() -> None:
    room = Room(24.0, 9.0, "cuda", "card", (GpuUser(5, "game", 14.2),))
    too_much = Verdict("does_not_fit", 12.0, room)
    said = texts.verdict_text(too_much, "en")
    assert "only 9.0 of 24.0 GiB are free" in said
    assert "game 14.2 GiB" in said
    assert "足够" in texts.verdict_text(Verdict("fits", 3.0, room), "zh")
