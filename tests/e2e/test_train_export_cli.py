"""From training to a merged model and a capsule with the real workers, as a script drives it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from app.cli import main
from tests.tiny_models import build_tiny
from tests.train_runs import write_data

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def deepdeck(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    """The objects of a command that must succeed."""
    code = main([*words, "--json"])
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0, objects[-1]
    return objects


def test_train_merge_and_begin_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = build_tiny(tmp_path / "tiny", "deepseek_v2", dtype="bfloat16")
    data = write_data(tmp_path / "d.jsonl")
    settings = ["lora.target_modules=all-linear", "learning_rate=0.02", "device=cpu"]
    words = ["--model", str(model), "--data", str(data), "--steps", "4", "--set", *settings]
    trained = deepdeck(capsys, "train", *words)
    run_id = str(trained[-1]["run_id"])
    merged = deepdeck(capsys, "runs", "merge", run_id, "--to", str(tmp_path / "merged"))
    assert merged[-1]["outcome"] == "completed"
    result = merged[-1]["result"]
    assert isinstance(result, dict)
    assert result["path"] == str(tmp_path / "merged")
    assert 0 <= result["kl_original"] < 0.01
    deepdeck(capsys, "runs", "capsule", run_id, "--to", str(tmp_path / "c.zip"))
    again = deepdeck(capsys, "train", "--capsule", str(tmp_path / "c.zip"), "--name", "again")
    assert again[0]["event"] == "capsule"
    assert again[0]["differences"] == []
    losses = [[e["loss"] for e in run if e["event"] == "train.step"] for run in (trained, again)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4
