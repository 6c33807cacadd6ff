"""Two processes train one run: on gloo and the CPU, through real workers.

Each start of two processes costs some seconds of both cores, so one start answers many questions.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import torch

from core.paths import PROJECT_ROOT, Home
from core.protocol.codec import encode_command
from core.protocol.commands import ContinueCommand, PauseCommand, SaveCommand, StopCommand
from core.protocol.events import (
    CheckpointSaved,
    CommandAcknowledged,
    EvalDone,
    Event,
    RunStarted,
    TrainStep,
)
from core.runlog.run_dir import RunDir
from core.supervisor import RunView, Supervisor
from tests.fakes.runs import Runs, events_of
from tests.train_runs import MODULE, make_run, of, run_here, tiny_model, write_data

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
DDP = {"strategy": "ddp", "nproc_per_node": 2}
COMMON = {"max_steps": 8, "eval_steps": 4, "save_steps": 4, "save_total_limit": 3}
ALONE = {**COMMON, "gradient_accumulation_steps": 4}
TOGETHER = {**COMMON, "gradient_accumulation_steps": 2, "parallel": DDP}
REL = 1e-4
PATIENCE_S = 180.0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shared")
    tiny_model(root / "model")
    write_data(root / "data.jsonl", 40)
    return root


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that load their libraries at once are slow on a busy machine."""
    monkeypatch.setattr("tests.fakes.runs.PATIENCE_S", PATIENCE_S)


@pytest.fixture
def make(home: Home, shared: Path):
    def make(**values: object) -> RunDir:
        return make_run(home.runs, shared / "model", shared / "data.jsonl", **values)

    return make


def processes_of(run: RunDir) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(run.path) in (process.info["cmdline"] or []):
            found.append(process)
    return found


def rank_of(run: RunDir, rank: int) -> psutil.Process:
    (found,) = [p for p in processes_of(run) if p.cmdline()[-2:] == ["--rank", str(rank)]]
    return found


def curves(run: RunDir) -> list[tuple[int, float, float, int]]:
    return [(s.step, s.loss, s.grad_norm, s.target_tokens) for s in of(TrainStep, events_of(run))]


def same(got: list, wanted: list) -> None:
    assert [g[0] for g in got] == [w[0] for w in wanted]
    for g, w in zip(got, wanted, strict=True):
        assert g == pytest.approx(w, rel=REL)


def go_on(run: RunDir, twin: RunDir, step: int) -> None:
    """Give `twin` the first steps of `run`, as if it had made them."""
    name = f"step-{step:06d}"
    lines = run.events.read_text("utf-8").splitlines(keepends=True)
    upto = next(i for i, line in enumerate(lines) if f"checkpoints/{name}" in line)
    twin.events.write_text("".join(lines[: upto + 1]), "utf-8")
    shutil.copytree(run.checkpoints / name, twin.checkpoints / name)


def save_then_stop(run: RunDir) -> threading.Thread:
    """Ask a run of this very process for a checkpoint, and for its end some steps later."""

    def wait_for(kind: type[Event], count: int) -> None:
        while not run.events.exists() or len(of(kind, events_of(run))) < count:
            time.sleep(0.02)

    def work() -> None:
        wait_for(TrainStep, 2)
        run.control.write_bytes(encode_command(SaveCommand()))
        wait_for(CheckpointSaved, 1)
        wait_for(TrainStep, of(CheckpointSaved, events_of(run))[0].step + 2)
        with run.control.open("ab") as file:
            file.write(encode_command(StopCommand()))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def until_step_of_this_life(runs: Runs, run: RunDir, step: int) -> RunView:
    return runs.until(run, lambda v: v.state.pid == v.pid and v.state.steps_done >= step)


def until_gone(run: RunDir) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (left := processes_of(run)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def test_two_processes_train_as_one_does_and_one_goes_on_where_they_stopped(
    make, runs: Runs, supervisor: Supervisor
) -> None:
    alone, both = make(**ALONE), make(**TOGETHER)
    run_here(alone)
    supervisor.start(both, MODULE)
    view = runs.until_finished(both)
    events = events_of(both)
    assert view.status == "completed", (view.state.error, both.output_log.read_text())
    same(curves(both), curves(alone))
    losses = [e.loss for e in of(EvalDone, events)]
    assert losses == pytest.approx([e.loss for e in of(EvalDone, events_of(alone))], rel=REL)
    # One voice: the process that `process.json` names, and no line from anybody else.
    assert of(RunStarted, events)[0].pid == json.loads(both.process_json.read_text())["pid"]
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    until_gone(both)
    one_after_two = make(**ALONE)
    go_on(both, one_after_two, 4)
    run_here(one_after_two)
    same(curves(one_after_two), curves(alone))


def test_commands_reach_both_and_no_process_outlives_another(
    make, runs: Runs, supervisor: Supervisor
) -> None:
    endless = {"max_steps": 100_000, "eval_steps": 0, "save_steps": 0}
    alone = make(**{**ALONE, **endless})
    commands = save_then_stop(alone)
    run_here(alone)
    commands.join()
    # One process made some steps, two go on; a pause, a save, and one of them is lost.
    run = make(**{**TOGETHER, **endless})
    begun = of(CheckpointSaved, events_of(alone))[0].step
    go_on(alone, run, begun)
    supervisor.start(run, MODULE)
    runs.until_step(run, begun + 2)
    same(curves(run)[: begun + 2], curves(alone)[: begun + 2])
    supervisor.send(run.run_id, PauseCommand())
    runs.until(run, lambda v: v.state.paused)
    save = supervisor.send(run.run_id, SaveCommand())
    view = runs.until(run, lambda v: save in v.state.acknowledged)
    held = view.state.step.step
    supervisor.send(run.run_id, ContinueCommand())
    runs.until_step(run, held + 2)
    rank_of(run, 1).kill()
    view = runs.until_finished(run)
    assert view.status == "failed"
    assert view.state.error.code == "worker.rank_lost"
    assert view.state.error.params == {"rank": 1, "world_size": 2, "detail": "SIGKILL"}
    answers = of(CommandAcknowledged, events_of(run))
    assert [(a.command, a.accepted) for a in answers] == [
        ("pause", True), ("save", True), ("continue", True),
    ]  # fmt: skip
    # The last checkpoint is kept; the same steps give the same losses; SIGTERM saves.
    first_life = {s.step: s for s in of(TrainStep, events_of(run))}
    supervisor.start(run, MODULE)
    view = until_step_of_this_life(runs, run, held + 2)
    os.kill(view.pid, signal.SIGTERM)
    view = runs.until_finished(run)
    assert (view.status, view.state.reason) == ("stopped", "signal")
    events = events_of(run)
    assert of(RunStarted, events)[-1].resumed_from_step == held
    second_life = {s.step: s for s in of(TrainStep, events)}
    assert second_life[held + 1].seq != first_life[held + 1].seq
    assert second_life[held + 1].loss == first_life[held + 1].loss
    assert run.newest_checkpoint().name == f"step-{view.state.steps_done:06d}"
    # Nobody is left when the launcher is killed, nor a file half written.
    supervisor.start(run, MODULE)
    view = until_step_of_this_life(runs, run, view.state.steps_done + 1)
    os.kill(view.pid, signal.SIGKILL)
    view = runs.until(run, lambda v: v.verdict is not None)
    assert view.verdict.reason == "killed"
    until_gone(run)


CASES: list[dict[str, object]] = [
    {"arch": "llama", "strategy": "fsdp2", "method": "full"},
    {"arch": "llama", "strategy": "fsdp2", "fast": True},
    {"arch": "deepseek_v2", "strategy": "fsdp2"},
    {"arch": "llama", "strategy": "tp"},
]


def test_every_strategy_computes_what_one_process_does(tmp_path: Path) -> None:
    """Parity over 8 steps; two passes without an update agree; weights are equal in all processes;
    a checkpoint is whole and comes back; see `tests/parallel_checks.py`.
    """
    cases = [*CASES]
    if find_spec("bitsandbytes"):
        cases.append({"arch": "llama", "strategy": "ddp", "load_in_4bit": True})
    for arch in {str(case["arch"]) for case in cases}:
        tiny_model(tmp_path / arch, arch)
    command = [sys.executable, "-m", "tests.parallel_checks", str(tmp_path), json.dumps(cases)]
    common = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "WORLD_SIZE": "2"}
    both = [
        subprocess.Popen(
            command,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=380)[0] for process in both]
    assert [p.returncode for p in both] == [0, 0], "\n".join(text[-3000:] for text in said)
    reloaded_adapter_answers_as_the_trained_one(tmp_path)


def reloaded_adapter_answers_as_the_trained_one(folder: Path) -> None:
    """Sharded weights are saved whole: this process never saw the run."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(folder / "deepseek_v2")
    model = PeftModel.from_pretrained(base, folder / "deepseek_v2-fsdp2")
    wanted = torch.load(folder / "deepseek_v2-fsdp2" / "logits.pt")
    with torch.no_grad():
        got = model(torch.arange(3, 35)[None], use_cache=False).logits
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)
