"""The main job with the real workers, as a script drives it: train, lose, resume, serve, ask."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from core.paths import PROJECT_ROOT, Home

pytest.importorskip("torch")

from tests.tiny_models import build_tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return build_tiny(tmp_path / "tiny-llama", "llama")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "law"
    for name in ("train/domain_specific", "eval/accuracy"):
        (folder / name).mkdir(parents=True)
        rows = ({"instruction": f"What is {n}?", "output": f"It is {n}."} for n in range(30))
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / name / "rows.jsonl").write_text(text)
    return folder


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def deepdeck(started: list[subprocess.Popen[str]], *words: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "app", *words, "--json"],
        cwd=PROJECT_ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    started.append(process)
    return process


def until(process: subprocess.Popen[str], event: str, **fields: Any) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        found: dict[str, Any] = json.loads(line)
        if found["event"] == event and fields.items() <= found.items():
            return found
    raise AssertionError(f"no {event}; stderr: {process.communicate()[1]}")


def test_the_main_job_survives_a_killed_worker(
    started: list[subprocess.Popen[str]], home: Home, model: Path, data: Path
) -> None:
    train = deepdeck(
        started, "train", "--model", str(model), "--data", str(data), "--steps", "400",
        "--set", "save_steps=3", "--set", "max_length_tokens=64", "--set", "batch_size=1",
        "--set", "gradient_accumulation_steps=1", "--set", "eval_max_samples=4",
    )  # fmt: skip
    run_id = until(train, "started")["run_id"]
    until(train, "checkpoint.saved", step=6)
    worker = psutil.Process(json.loads((home.runs / run_id / "process.json").read_text())["pid"])
    worker.send_signal(signal.SIGKILL)
    last = until(train, "finished")
    assert (last["outcome"], last["reason"], train.wait()) == ("lost", "killed", 1)

    resume = deepdeck(started, "runs", "resume", run_id)
    again = until(resume, "run.started", pid=worker_pid(home, run_id, worker.pid))
    assert again["resumed_from_step"] >= 6
    first = until(resume, "train.step")
    assert first["step"] == again["resumed_from_step"] + 1
    resume.send_signal(signal.SIGINT)
    last = until(resume, "finished")
    assert (last["outcome"], resume.wait()) == ("stopped", 0)
    assert (Path(last["adapter"]) / "adapter_config.json").is_file()

    serve = deepdeck(started, "serve", "--model", str(model), "--adapter", run_id, "--port", "0")
    ready = until(serve, "ready")
    question = {"messages": [{"role": "user", "content": "What is 7?"}], "max_tokens": 4}
    answer = httpx.post(
        f"{ready['url']}/v1/chat/completions", json=question, timeout=60,
        headers={"Authorization": f"Bearer {ready['api_key']}"}, trust_env=False,
    )  # fmt: skip
    assert answer.status_code == 200
    assert answer.json()["usage"]["completion_tokens"] >= 1
    server = psutil.Process(ready["pid"])
    serve.send_signal(signal.SIGTERM)
    assert until(serve, "finished")["outcome"] == "stopped"
    assert serve.wait() == 0
    assert not server.is_running()


def worker_pid(home: Home, run_id: str, before: int) -> int:
    """Of the new worker, once it is written down."""
    file = home.runs / run_id / "process.json"
    while (pid := json.loads(file.read_text())["pid"]) == before:
        time.sleep(0.01)
    return int(pid)
