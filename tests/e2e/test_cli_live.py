"""Speaking to a training that runs, from the command line, as the window's buttons do."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from core.paths import PROJECT_ROOT
from tests.train_runs import tiny_model, write_data

pytestmark = pytest.mark.slow


def deepdeck(home: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-m", "app", *words, "--json"], cwd=PROJECT_ROOT, timeout=150,
        capture_output=True, text=True, env={**_environment(), "DEEPDECK_HOME": str(home)},
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "OMP_NUM_THREADS": "1"}


def state(home: Path, run_id: str) -> dict[str, Any]:
    _, objects = deepdeck(home, "runs", "show", run_id)
    return objects[0]


def wait_for_step(home: Path, run_id: str, step: int) -> None:
    end = time.monotonic() + 90
    while int(state(home, run_id)["step"]) < step:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_running_training_is_paused_slowed_cleaned_saved_and_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    words = (
        "train", "--model", str(tiny_model(tmp_path / "model")),
        "--data", str(write_data(tmp_path / "data.jsonl", 40)), "--detach", "--steps", "100000",
        "--set", "device=cpu", "eval_steps=0", "seq_len=64", "learning_rate=1e-4",
    )  # fmt: skip
    code, objects = deepdeck(home, *words)
    assert code == 0
    run_id = objects[0]["run_id"]
    wait_for_step(home, run_id, 3)
    answers = {}
    for action in (("pause",), ("rate", "0.5"), ("exclude", "1", "2"), ("save",), ("continue",)):
        code, objects = deepdeck(home, "runs", action[0], run_id, *action[1:])
        answers[action[0]] = (code, objects[-1]["accepted"])
    assert answers == dict.fromkeys(("pause", "rate", "exclude", "save", "continue"), (0, True))
    code, objects = deepdeck(home, "runs", "exclude", run_id, "99999")
    assert code == 1
    assert objects[-1]["detail"]
    step = int(state(home, run_id)["step"])
    wait_for_step(home, run_id, step + 3)
    assert state(home, run_id)["checkpoints"]
    deepdeck(home, "runs", "stop", run_id, "--now")
    code, objects = deepdeck(home, "runs", "pause", run_id)
    assert code == 2
    assert objects[-1]["code"] == "run.not_alive"
