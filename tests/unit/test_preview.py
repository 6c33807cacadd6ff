"""What the token view shows is what the model would be trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.config.preview import PreviewSpec
from core.config.train import TrainSpec
from core.errors import ErrorCode
from core.protocol.events import Event
from core.runlog.preview import Preview, PreviewPiece, read_preview
from core.runlog.run_dir import RunDir, new_run_id
from tests.tiny_models import EOS, build_tiny, tiny_tokenizer
from tests.train_runs import last_word, write_data
from workers.preview.tokens import token_texts
from workers.train import findings


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("models") / "llama")


def look(tmp_path: Path, **values: Any) -> tuple[Preview, list[Event]]:
    """The whole worker, in this process."""
    import signal

    from tests.fakes.runs import events_of
    from workers.harness import run_worker
    from workers.preview.recipe import preview

    spec = PreviewSpec.parse(values).model_dump(mode="json")
    run = RunDir.create(tmp_path / "runs", new_run_id("preview"), {"job": "preview", "spec": spec})
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        run_worker("preview", preview, argv=[str(run.path)])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return read_preview(run.path) or Preview(), events_of(run)


def trained(pieces: list[PreviewPiece]) -> str:
    return "".join(piece.text for piece in pieces if piece.trained)


def test_samples_are_shown_as_they_are_trained(model: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "train.jsonl", 23)
    found, events = look(tmp_path, model=str(model), data=str(data), seq_len=64, count=2)
    assert last_word(events).outcome == "completed"
    lines = [json.loads(line) for line in data.read_text("utf-8").splitlines()]
    assert [sample.sample for sample in found.samples] == [0, 1]
    for sample in found.samples:
        source = lines[sample.line - 1]
        assert sample.file == "train.jsonl"
        assert trained(sample.pieces) == source["completion"] + EOS
        assert source["prompt"] in "".join(piece.text for piece in sample.pieces)
        assert sum(len(piece.ids) for piece in sample.pieces) == sample.tokens
        assert all(piece.text == "".join(piece.tokens) for piece in sample.pieces)
        assert sum(len(p.ids) for p in sample.pieces if p.trained) == sample.target_tokens
        assert sample.pieces[-1].special[-1]
    assert found.template == "own"
    assert found.sample_count == 22
    assert 0 < found.trained_share < 1
    assert found.target_modules == ["q_proj", "v_proj"]
    assert found.target_counts == {"q_proj": 2, "v_proj": 2}
    assert found.trainable_parameters == 2 * 16 * (32 + 32 + 32 + 16)


def test_lengths_and_packing_are_counted_over_all_samples(model: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "train.jsonl", 60)
    found, _ = look(tmp_path, model=str(model), data=str(data), seq_len=256)
    assert sum(found.lengths.counts) == found.sample_count
    assert len(found.lengths.edges) == len(found.lengths.counts) + 1
    assert found.lengths.edges[-1] > found.longest_tokens > 0
    assert found.packing.rows < found.sample_count
    assert found.packing.share > found.packing.share_padded > 0


def test_the_longest_are_found_and_what_is_cut_is_said(model: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "train.jsonl", 23)
    found, _ = look(tmp_path, model=str(model), data=str(data), seq_len=20, pick="longest", count=1)
    (sample,) = found.samples
    assert sample.tokens == found.limit_tokens == 20
    (note,) = sample.findings
    assert note.code == f"this_{findings.CUT}"
    assert note.params == {"tokens": found.longest_tokens, "limit": 20}
    assert found.cut_count > 0
    assert findings.CUT in {f.code for f in found.findings}


def test_samples_that_are_left_out_are_shown_too(model: Path, tmp_path: Path) -> None:
    data = tmp_path / "train.jsonl"
    long = '{"prompt": "' + "long " * 100 + '", "completion": "a"}\n'
    data.write_text(long * 4, "utf-8")
    found, events = look(tmp_path, model=str(model), data=str(data), seq_len=32, packing=True)
    assert last_word(events).outcome == "completed"
    assert found.samples == []
    sample = found.dropped[0]
    assert (sample.sample, sample.line, sample.file) == (-1, 1, "train.jsonl")
    assert found.dropped_count == 3  # one is held out for evaluation
    assert trained(sample.pieces) == ""
    assert f"this_{findings.NOTHING_TRAINED}" in {f.code for f in sample.findings}


def test_only_the_first_samples_of_large_data_are_read(model: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "train.jsonl", 60)
    found, _ = look(tmp_path, model=str(model), data=str(data), max_samples=10)
    assert (found.sample_count, found.complete) == (10, False)


def test_a_sample_may_be_named_by_its_number(model: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "train.jsonl", 23)
    found, _ = look(tmp_path, model=str(model), data=str(data), samples=[7, 3])
    assert [sample.sample for sample in found.samples] == [7, 3]
    _, events = look(tmp_path, model=str(model), data=str(data), samples=[700])
    error = last_word(events).error
    assert error is not None
    assert error.code == ErrorCode.BAD_VALUE.value


def test_a_name_that_matches_no_module_does_not_hide_the_tokens(
    model: Path, tmp_path: Path
) -> None:
    data = write_data(tmp_path / "train.jsonl", 9)
    lora = {"target_modules": ["nothing"]}
    found, _ = look(tmp_path, model=str(model), data=str(data), lora=lora)
    assert found.targets_problem is not None
    assert found.targets_problem.code == ErrorCode.TRAIN_TARGETS_UNKNOWN.value
    assert found.samples


def test_rows_of_a_pre_training_are_shown(model: Path, tmp_path: Path) -> None:
    data = tmp_path / "train.jsonl"
    data.write_text('{"text": "The quick brown fox"}\n' * 30, "utf-8")
    found, _ = look(tmp_path, model=str(model), data=str(data), stage="pretrain", seq_len=32)
    assert found.template == ""
    assert {sample.tokens for sample in found.samples} == {32}
    assert all(sample.target_tokens == 31 for sample in found.samples)


def test_a_characters_tokens_are_shown_as_one() -> None:
    tokenizer = tiny_tokenizer()
    text = "a 😀 你好, the quick 龘 fox"
    ids = tokenizer.encode(text, add_special_tokens=False)
    texts = token_texts(tokenizer, ids)
    assert "".join(texts) == text
    assert len(texts) == len(ids)
    assert "😀" in "".join(texts)
    assert not any("\ufffd" in t for t in texts)


def test_a_training_spec_becomes_the_spec_of_its_preview() -> None:
    spec = TrainSpec(model="m", data="d", packing=True, thinking="strip", seq_len=1024)
    found = PreviewSpec.of(spec, pick="longest")
    assert (found.model, found.packing, found.thinking, found.seq_len) == ("m", True, "strip", 1024)
    assert found.pick == "longest"
