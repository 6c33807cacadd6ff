"""The command line as scripts see it: real processes, exit codes, JSON lines, signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.paths import PROJECT_ROOT, STARTER_MODEL, Home

Objects = list[dict[str, Any]]

pytestmark = pytest.mark.skipif(
    not (STARTER_MODEL / "config.json").exists(), reason="the starter model is not in this tree"
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "law.jsonl"
    rows = ({"instruction": f"What is {n}?", "output": f"It is {n}."} for n in range(40))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


class Cli:
    """Runs `deepdeck` with fake workers."""

    def __init__(self) -> None:
        self._open: list[subprocess.Popen[str]] = []

    def start(self, *words: str, **spec: Any) -> subprocess.Popen[str]:
        environment = {**os.environ, "FAKE_SPEC": json.dumps(spec), "DEEPDECK_LANG": "en"}
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.fake_cli", *words],
            cwd=PROJECT_ROOT, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._open.append(process)
        return process

    def __call__(self, *words: str, **spec: Any) -> tuple[int, Objects]:
        """Exit code and objects of a call with --json."""
        out, _err = self.start(*words, "--json", **spec).communicate(timeout=120)
        return self._open[-1].returncode, [json.loads(line) for line in out.splitlines()]

    def say(self, *words: str, **spec: Any) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a call without --json."""
        out, err = self.start(*words, **spec).communicate(timeout=120)
        return self._open[-1].returncode, out, err

    def close(self) -> None:
        for process in self._open:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def cli(home: Home) -> Iterator[Cli]:
    calls = Cli()
    yield calls
    calls.close()


@pytest.fixture
def training(cli: Cli, data: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a training run in the foreground and returns when its first step was told."""

    def start(**spec: Any) -> subprocess.Popen[str]:
        words = ("train", "--model", "deepdeck-starter", "--data", str(data), "--json")
        process = cli.start(*words, **spec)
        next_object(process, "train.step")
        return process

    return start


def next_object(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        found: dict[str, Any] = json.loads(line)
        if found["event"] == event:
            return found
    raise AssertionError(f"no {event} before the end: {process.communicate()}")


def the_rest(process: subprocess.Popen[str]) -> Objects:
    out, _ = process.communicate(timeout=120)
    return [json.loads(line) for line in out.splitlines()]


def worker_of(home: Home) -> psutil.Process:
    (file,) = home.runs.glob("*/process.json")
    return psutil.Process(json.loads(file.read_text())["pid"])


def train_words(data: Path) -> tuple[str, ...]:
    return "train", "--model", "deepdeck-starter", "--data", str(data)


def test_train_streams_every_event_and_ends_with_the_outcome(cli: Cli, data: Path) -> None:
    code, objects = cli(*train_words(data), "--steps", "4", "--set", "lora.r=8")
    assert code == 0
    assert objects[0]["event"] == "started"
    steps = [o for o in objects if o["event"] == "train.step"]
    assert [s["step"] for s in steps] == [1, 2, 3, 4]
    last = objects[-1]
    assert (last["event"], last["outcome"], last["adapter"]) == ("finished", "completed", None)
    run = Home.default().runs / last["run_id"]
    spec = json.loads((run / "run.json").read_text())["spec"]
    assert (spec["max_steps"], spec["lora"]["r"]) == (4, 8)
    assert Path(spec["model"]).is_absolute()
    assert Path(spec["data"]) == data


def test_a_failed_run_ends_with_one_and_says_why(cli: Cli, data: Path) -> None:
    code, objects = cli(*train_words(data), fail="app")
    assert code == 1
    last = objects[-1]
    assert (last["outcome"], last["error"]["code"]) == ("failed", "data.empty")
    assert last["error"]["message"]
    assert last["error"]["hint"]


def test_a_lost_run_ends_with_one(cli: Cli, data: Path) -> None:
    code, objects = cli(*train_words(data), kill_self=int(signal.SIGKILL))
    assert code == 1
    assert (objects[-1]["outcome"], objects[-1]["reason"]) == ("lost", "killed")


def test_not_a_number_is_a_word_in_json(cli: Cli, data: Path) -> None:
    _, objects = cli(*train_words(data), steps=2, nan_at=2)
    losses = [o["loss"] for o in objects if o["event"] == "train.step"]
    assert losses[1] == "NaN"


def test_all_problems_are_told_at_once_and_nothing_is_written(cli: Cli, home: Home) -> None:
    code, objects = cli("train", "--model", "no-such-model", "--data", "/no/such/data")
    assert code == 2
    (error,) = objects
    assert (error["event"], error["code"]) == ("error", "model.not_found")
    assert [p["code"] for p in error["problems"]] == ["model.not_found", "data.not_found"]
    assert not home.runs.exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("train",), "input.bad_usage"),
        (("fly",), "input.bad_usage"),
        (("runs", "show"), "input.bad_usage"),
        (("runs", "show", "no-such-run"), "run.not_found"),
        (("runs", "stop", "../../etc"), "run.not_found"),
        (("train", "--model", "m", "--data", "d", "--set", "lora.r=big"), "input.bad_value"),
        (("train", "--model", "m", "--data", "d", "--set", "speed=9"), "input.bad_value"),
        (("train", "--model", "m", "--data", "d", "--set", "lora"), "input.bad_value"),
        (("train", "--model", "m", "--data", "d", "--steps", "0"), "input.bad_value"),
        (("train", "--spec", "/no/such/file"), "input.bad_value"),
        (("serve", "--model", "deepdeck-starter", "--adapter", "nope"), "adapter.not_found"),
        (("serve", "--model", "deepdeck-starter", "--port", "99999"), "input.bad_value"),
        (("models", "verify", "no-such-model"), "model.not_found"),
    ],
)
def test_bad_input_is_one_error_object_and_two(cli: Cli, words: tuple[str, ...], code: str) -> None:
    returned, objects = cli(*words)
    assert returned == 2
    (error,) = objects
    assert (error["event"], error["code"]) == ("error", code)
    assert error["message"]


def test_unknown_target_modules_are_named_before_anything_starts(cli: Cli, data: Path) -> None:
    code, objects = cli(*train_words(data), "--set", "lora.target_modules=q_proj,w_pack")
    assert code == 2
    assert objects[0]["code"] == "train.targets_unknown"
    assert objects[0]["params"]["names"] == "w_pack"
    assert "v_proj" in objects[0]["params"]["available"]


def test_ctrl_c_stops_and_saves(training: Callable[..., subprocess.Popen[str]]) -> None:
    process = training(steps=10_000, rate=50, checkpoint_every=100_000)
    process.send_signal(signal.SIGINT)
    last = the_rest(process)[-1]
    assert process.returncode == 0
    assert (last["outcome"], last["reason"]) == ("stopped", "stop_requested")
    checkpoints = Home.default().runs / last["run_id"] / "checkpoints"
    assert len(list(checkpoints.iterdir())) == 1


def test_a_second_ctrl_c_ends_it_at_once(training: Callable[..., subprocess.Popen[str]]) -> None:
    process = training(steps=1, hang=True, deaf=True, ignore_terminate=True)
    process.send_signal(signal.SIGINT)
    next_object(process, "command.acknowledged")
    process.send_signal(signal.SIGINT)
    last = the_rest(process)[-1]
    assert process.returncode == 1
    assert (last["outcome"], last["reason"]) == ("lost", "stopped_by_force")


def test_a_killed_command_line_leaves_its_worker_to_be_adopted(
    cli: Cli, training: Callable[..., subprocess.Popen[str]], home: Home
) -> None:
    process = training(steps=1, hang=True)
    process.kill()
    process.wait()
    code, (run,) = cli("runs", "list")
    assert (code, run["status"], run["alive"]) == (0, "running", True)
    assert worker_of(home).is_running()
    code, objects = cli("runs", "stop", run["run_id"])
    assert (code, objects[-1]["outcome"]) == (0, "stopped")
    code, (shown,) = cli("runs", "show", run["run_id"])
    assert (shown["status"], shown["alive"], shown["step"]) == ("stopped", False, 1)


def test_a_detached_run_goes_on_by_itself(cli: Cli, data: Path) -> None:
    code, (started,) = cli(*train_words(data), "--detach", steps=1, hang=True)
    assert (code, started["event"]) == (0, "started")
    code, objects = cli("runs", "stop", started["run_id"])
    assert (code, objects[-1]["outcome"]) == (0, "stopped")


def test_resume_goes_on_from_the_checkpoint(cli: Cli, data: Path) -> None:
    _, objects = cli(*train_words(data), steps=20, checkpoint_every=10, exit_code=7)
    run_id = objects[-1]["run_id"]
    _, objects = cli("runs", "resume", run_id)
    started = next(o for o in objects if o["event"] == "run.started" and o["seq"] > 1)
    assert started["resumed_from_step"] == 20


def test_resume_without_a_checkpoint_says_so(cli: Cli, data: Path) -> None:
    _, objects = cli(*train_words(data), fail="bug")
    code, (error,) = cli("runs", "resume", objects[-1]["run_id"])
    assert (code, error["code"]) == (2, "checkpoint.none")


def test_export_writes_every_step_and_a_report(cli: Cli, data: Path, tmp_path: Path) -> None:
    _, objects = cli(*train_words(data), steps=120)
    run_id = objects[-1]["run_id"]
    code, (exported,) = cli("runs", "export", run_id, "--to", str(tmp_path / "out"))
    assert code == 0
    lines = Path(exported["csv"]).read_text().splitlines()
    assert lines[0].startswith("time_utc,step,epoch,loss")
    assert [int(line.split(",")[1]) for line in lines[1:]] == list(range(1, 121))
    assert Path(exported["report"]).read_text().lower().startswith("<!doctype html")
    assert (tmp_path / "out" / f"{run_id}-evals.csv").exists()


def test_delete_refuses_a_living_run_and_removes_a_dead_one(
    cli: Cli, data: Path, home: Home
) -> None:
    _, (started,) = cli(*train_words(data), "--detach", steps=1, hang=True)
    run_id = started["run_id"]
    code, (error,) = cli("runs", "delete", run_id)
    assert (code, error["code"]) == (2, "run.still_alive")
    cli("runs", "stop", run_id)
    assert cli("runs", "delete", run_id)[0] == 0
    assert list(home.runs.iterdir()) == []


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_ready_and_leaves_nothing_behind(
    cli: Cli, home: Home, number: signal.Signals
) -> None:
    words = ("serve", "--model", "deepdeck-starter", "--port", str(free_port()), "--json")
    process = cli.start(*words, steps=0, hang=True, ready_url="http://127.0.0.1:9")
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    assert ready["event"] == "ready"
    assert ready["url"] == "http://127.0.0.1:9"
    assert ready["api_key"] == home.api_key_file.read_text().strip()
    worker = psutil.Process(ready["pid"])
    process.send_signal(number)
    last = the_rest(process)[-1]
    assert process.returncode == 0
    assert last["outcome"] == "stopped"
    assert not worker.is_running()
    run = home.runs / ready["run_id"]
    assert ready["api_key"] not in "".join(f.read_text() for f in run.iterdir() if f.is_file())


def test_serve_stopped_while_it_loads_leaves_nothing_behind(cli: Cli, home: Home) -> None:
    words = ("serve", "--model", "deepdeck-starter", "--port", str(free_port()), "--json")
    process = cli.start(*words, steps=0, hang=True)
    deadline = time.monotonic() + 60
    while not list(home.runs.glob("*/process.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    last = the_rest(process)[-1]
    assert (last["outcome"], process.returncode) == ("stopped", 0)


def test_serve_says_so_when_its_worker_is_killed(cli: Cli) -> None:
    words = ("serve", "--model", "deepdeck-starter", "--port", str(free_port()), "--json")
    process = cli.start(*words, steps=0, hang=True, ready_url="http://127.0.0.1:9")
    worker = psutil.Process(next_object(process, "ready")["pid"])
    worker.send_signal(signal.SIGKILL)
    error = the_rest(process)[-1]
    assert (error["event"], error["code"], process.returncode) == ("error", "worker.lost", 1)


def test_serve_ends_with_one_when_its_worker_fails(cli: Cli) -> None:
    words = ("serve", "--model", "deepdeck-starter", "--port", str(free_port()))
    code, objects = cli(*words, fail="app")
    assert code == 1
    assert objects[-1]["event"] == "error"
    assert objects[-1]["code"] == "data.empty"


def test_a_port_in_use_is_told_before_anything_starts(cli: Cli, home: Home) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        code, (error,) = cli("serve", "--model", "deepdeck-starter", "--port", str(port))
    assert (code, error["code"]) == (2, "serve.port_in_use")
    assert error["params"] == {"host": "127.0.0.1", "port": port}
    assert not home.runs.exists()


def test_a_host_that_is_not_ours_is_told(cli: Cli) -> None:
    code, (error,) = cli("serve", "--model", "deepdeck-starter", "--host", "192.0.2.1")
    assert (code, error["code"]) == (2, "serve.host_unavailable")


def test_people_get_sentences_in_their_language(cli: Cli, data: Path) -> None:
    code, out, _ = cli.say(*train_words(data), steps=3)
    assert code == 0
    assert "step 3/3" in out
    assert "completed" in out
    code, out, err = cli.say("runs", "show", "no-such", "--lang", "zh")
    assert (code, out) == (2, "")
    assert "no-such" in err
    assert "运行" in err
    code, out, _ = cli.say("runs", "list")
    assert (code, len(out.splitlines())) == (0, 1)


def test_a_reader_that_goes_away_harms_nobody(cli: Cli, data: Path, home: Home) -> None:
    process = cli.start(*train_words(data), "--json", steps=10_000, rate=100)
    next_object(process, "train.step")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.returncode == 1
    assert "Traceback" not in (process.stderr.read() if process.stderr else "")
    _, (run,) = cli("runs", "list")
    assert run["alive"]
    cli("runs", "stop", run["run_id"])
