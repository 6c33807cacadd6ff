"""The bundled data set is whole, bilingual, clean and does not leak its evaluation part."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2] / "resources" / "datasets" / "deepdeck-sample"
QUICK = ROOT.with_name("deepdeck-quick")
PARTS = ("train/domain_specific", "train/general", "eval/accuracy", "eval/robustness")
LICENSES = ("PSF-2.0", "GPL-3.0-or-later", "GPL-2.0-only", "GFDL-1.2-or-later", "Apache-2.0")


def load(part: str, root: Path = ROOT) -> list[dict[str, Any]]:
    lines = []
    for path in sorted((root / part).glob("*.jsonl")):
        lines += path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def answer(sample: dict[str, Any]) -> str:
    return str(sample["messages"][-1]["content"])


def description(root: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
    return data


@pytest.fixture(scope="module")
def about() -> dict[str, Any]:
    return description(ROOT)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_holds_one_question_and_one_answer_a_line(part: str) -> None:
    for sample in load(part):
        assert [m["role"] for m in sample["messages"]] == ["user", "assistant"]
        assert all(m["content"].strip() == m["content"] != "" for m in sample["messages"])
        assert sample["source"].partition(":")[2]


@pytest.mark.parametrize("part", PARTS)
def test_every_part_speaks_both_languages(part: str) -> None:
    samples = load(part)
    for lang in ("en", "zh"):
        assert sum(s["lang"] == lang for s in samples) >= 0.3 * len(samples)
    chinese = [s for s in samples if s["lang"] == "zh"]
    assert all(re.search(r"[\u4e00-\u9fff]", answer(s)) for s in chinese)


def test_there_are_some_thousand_training_samples_in_a_few_mebibytes() -> None:
    count = sum(len(load(part)) for part in PARTS[:2])
    size = sum(path.stat().st_size for path in ROOT.rglob("*.jsonl"))
    assert 3000 <= count <= 6000
    assert size < 4 * 2**20
    assert len(load(PARTS[2])) >= 200
    assert len(load(PARTS[3])) >= 150


def test_no_entity_is_both_trained_and_evaluated() -> None:
    trained = {s["source"] for part in PARTS[:2] for s in load(part)}
    held_out = {s["source"] for part in PARTS[2:] for s in load(part)}
    assert not trained & held_out


def test_no_evaluation_answer_occurs_in_training() -> None:
    trained = {answer(s) for part in PARTS[:2] for s in load(part)}
    assert not trained & {answer(s) for part in PARTS[2:] for s in load(part)}


@pytest.mark.parametrize("part", PARTS)
def test_answers_are_short_plain_text(part: str) -> None:
    for sample in load(part):
        text = answer(sample)
        assert len(text.split()) <= 60
        assert len(text) <= 400
        assert not re.search(r"<[a-z/]|\*\*|``|https?://|\n", text)
        assert text[-1] in ".。！？!?"


def test_no_question_is_asked_twice_in_training() -> None:
    asked = [s["messages"][0]["content"] for part in PARTS[:2] for s in load(part)]
    assert len(set(asked)) > 0.99 * len(asked)


def test_the_quick_part_is_a_part_of_the_training_files() -> None:
    lines = {json.dumps(s, sort_keys=True) for part in PARTS[:2] for s in load(part)}
    quick = [json.dumps(s, sort_keys=True) for part in PARTS[:2] for s in load(part, QUICK)]
    assert 600 <= len(quick) <= 1500
    assert set(quick) <= lines


@pytest.mark.parametrize("split", ["eval/accuracy", "eval/robustness"])
def test_the_quick_part_is_judged_by_the_same_held_out_questions(split: str) -> None:
    assert load(split, QUICK) == load(split)


@pytest.mark.parametrize("root", [ROOT, QUICK])
def test_the_hashes_and_counts_of_all_files_are_recorded(root: Path) -> None:
    about = description(root)
    found = {path.relative_to(root).as_posix() for path in root.rglob("*.jsonl")}
    assert set(about["files"]) == found
    for name, facts in about["files"].items():
        data = (root / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == facts["sha256"]
        assert len(data.decode("utf-8").splitlines()) == facts["samples"]


def test_name_description_and_licenses_are_given(about: dict[str, Any]) -> None:
    assert set(about["name"]) == set(about["description"]) == {"en", "zh"}
    named = {source["license"] for source in about["sources"]}
    assert named.issuperset(LICENSES)
    assert set(about["license_counts"]) <= named
