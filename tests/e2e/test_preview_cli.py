"""A preview from the command line, with its real worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from app.cli import main
from app.commands.preview import marked
from core.paths import Home
from core.runlog.preview import PreviewPiece
from core.services import build
from core.services.preview import KEPT
from tests.tiny_models import EOS, build_tiny
from tests.train_runs import write_data

pytestmark = pytest.mark.timeout(300)


def deepdeck(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(words)
    return code, capsys.readouterr().out


def test_a_preview_prints_what_is_trained_and_is_no_run_of_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("DEEPDECK_HOME", str(home.root))
    model = build_tiny(tmp_path / "llama")
    data = write_data(tmp_path / "train.jsonl", 9)
    for n in range(KEPT + 1):
        (home.runs / f"20200101-00000{n}-preview-00").mkdir(parents=True)
        document = json.dumps({"job": "preview", "spec": {}})
        (home.runs / f"20200101-00000{n}-preview-00" / "run.json").write_text(document)

    words = ("preview", "--model", str(model), "--data", str(data), "--sample", "1", "2")
    code, printed = deepdeck(capsys, *words, "--json", "--set", "seq_len=64")
    assert code == 0
    found: dict[str, Any] = json.loads(printed)
    assert [sample["sample"] for sample in found["samples"]] == [1, 2]
    assert found["samples"][0]["pieces"][-1]["text"].endswith(EOS)
    assert build(home).runs.list() == []
    assert len(list(home.runs.iterdir())) == KEPT

    assert deepdeck(capsys, "preview", "--data", str(data), "--json")[0] == 2


def test_colors_end_with_their_line_and_brackets_stand_in_for_them() -> None:
    piece = PreviewPiece(text="a\nb", trained=True)
    assert marked(piece, colored=False) == "⟦a\nb⟧"
    assert marked(piece, colored=True) == "\x1b[32ma\x1b[0m\n\x1b[32mb\x1b[0m"
