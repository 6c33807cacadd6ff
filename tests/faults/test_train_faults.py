"""Training meets bad files, bad numbers, full disks and sudden deaths, all of them real."""

from __future__ import annotations

import json
import math
import os
import pickle
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import ErrorInfo
from core.paths import Home
from core.protocol.events import (
    AlarmRaised,
    ArtifactSaved,
    CheckpointSaved,
    RunStarted,
    TrainStep,
)
from core.runlog.run_dir import RunDir
from core.supervisor import Supervisor
from tests.fakes.runs import Runs, events_of
from tests.tiny_models import build_tiny
from tests.train_runs import MODULE, last_word, make_run, of, run_here, tiny_model, write_data
from workers.train import checkpoint_files as files

WEIGHTS = "adapter_model.safetensors"


def failure(run: RunDir) -> ErrorInfo:
    word = last_word(run_here(run))
    assert word.outcome == "failed"
    assert word.error is not None
    return word.error


def spoil_with_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"w": 1}))


def spoil_by_cutting(folder: Path) -> None:
    weights = folder / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)


def spoil_with_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("open('/tmp/deepdeck-was-here', 'w')")


def spoil_by_losing_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def spoil_the_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": {')


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (spoil_with_pickle, "model.pickle_refused"),
        (spoil_by_cutting, "model.weights_damaged"),
        (spoil_with_code, "model.code_refused"),
        (spoil_by_losing_a_tensor, "model.weights_damaged"),
        (spoil_the_tokenizer, "model.load_failed"),
    ],
)
def test_a_bad_model_is_refused_with_its_code(
    tmp_path: Path, spoil: Callable[[Path], None], code: str
) -> None:
    model = tiny_model(tmp_path / "m")
    spoil(model)
    run = make_run(tmp_path / "runs", model, write_data(tmp_path / "d.jsonl"))
    assert failure(run).code == code
    assert not Path("/tmp/deepdeck-was-here").exists()


def test_a_model_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", tmp_path / "no", write_data(tmp_path / "d.jsonl"))
    assert failure(run).code == "model.not_found"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"prompt": "a", "comp', "data.bad_json"),
        ('{"text": "a"}', "data.bad_columns"),
        ('{"prompt": "a", "completion": 3}', "data.bad_sample"),
        ("\xe9\xe8", "data.not_utf8"),
    ],
)
def test_a_bad_line_deep_in_the_data_ends_the_run_with_its_number(
    tmp_path: Path, line: str, code: str
) -> None:
    data = write_data(tmp_path / "d.jsonl", 150)
    data.write_bytes(data.read_bytes() + line.encode("latin-1") + b"\n")
    error = failure(make_run(tmp_path / "runs", tiny_model(tmp_path / "m"), data))
    assert (error.code, error.params["line"]) == (code, 151)


def test_a_sample_that_the_chat_template_refuses_is_named_with_its_line(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "m")
    template = (model / "chat_template.jinja").read_text()
    refusing = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    )
    (model / "chat_template.jinja").write_text(refusing + template)
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    rows = [{"messages": turns}, {"messages": [{"role": "system", "content": "s"}, *turns]}]
    data = tmp_path / "train" / "d.jsonl"
    data.parent.mkdir()
    data.write_text("".join(json.dumps(r) + "\n" for r in rows))
    write_data(tmp_path / "eval" / "e.jsonl", 2)
    error = failure(make_run(tmp_path / "runs", model, tmp_path))
    assert (error.code, error.params["line"]) == ("data.bad_sample", 2)
    assert "no system" in error.detail


def test_answers_that_lie_behind_the_cut_leave_nothing_to_train(tmp_path: Path) -> None:
    data = tmp_path / "d.jsonl"
    data.write_text(json.dumps({"prompt": "fox " * 100, "completion": "a"}) + "\n")
    run = make_run(tmp_path / "runs", tiny_model(tmp_path / "m"), data, max_length_tokens=32)
    assert failure(run).code == "data.nothing_to_train"


def test_a_target_the_model_has_not_is_refused_with_those_it_has(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "m", "deepseek_v3")
    error = failure(make_run(tmp_path / "runs", model, write_data(tmp_path / "d.jsonl")))
    assert error.code == "train.targets_unknown"
    assert error.params["names"] == "q_proj, v_proj"
    assert "kv_b_proj" in str(error.params["available"])


def poisoned_model(folder: Path, text: str) -> Path:
    """A model whose embedding of every token of `text` is not a number."""
    from transformers import AutoTokenizer

    build_tiny(folder)
    ids = AutoTokenizer.from_pretrained(folder).encode(text, add_special_tokens=False)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.embed_tokens.weight"][ids] = math.nan
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def folder_of_data(folder: Path, rows: list[dict[str, str]]) -> Path:
    """Training rows as given, and one harmless row to evaluate on."""
    for part, values in (("train", rows), ("eval", [{"prompt": "fox", "completion": "dog"}])):
        (folder / part).mkdir(parents=True)
        (folder / part / "d.jsonl").write_text("".join(json.dumps(v) + "\n" for v in values))
    return folder


def test_one_poisoned_sample_costs_one_update_and_is_seen(tmp_path: Path) -> None:
    model = poisoned_model(tmp_path / "m", "~")
    rows = [{"prompt": f"fox {i}", "completion": "dog"} for i in range(11)]
    data = folder_of_data(tmp_path / "data", [*rows, {"prompt": "~", "completion": "cat"}])
    run = make_run(tmp_path / "runs", model, data, steps=6, gradient_accumulation_steps=1)
    events = run_here(run)
    assert last_word(events).outcome == "completed"
    skipped = [s for s in of(TrainStep, events) if s.update_skipped]
    assert len(skipped) == 1
    assert math.isnan(skipped[0].loss)
    (alarm,) = [a for a in of(AlarmRaised, events) if a.alarm == "non_finite"]
    assert (alarm.severity, alarm.step) == ("error", skipped[0].step)
    adapter = load_file(run.adapter / WEIGHTS)
    assert all(torch.isfinite(t).all() for t in adapter.values())
    assert any(t.abs().sum() > 0 for n, t in adapter.items() if "lora_B" in n)


def test_a_run_that_can_learn_nothing_ends_as_diverged_and_saves_no_adapter(
    tmp_path: Path,
) -> None:
    model = poisoned_model(tmp_path / "m", "User")
    run = make_run(tmp_path / "runs", model, write_data(tmp_path / "d.jsonl"), steps=200)
    events = run_here(run)
    error = last_word(events).error
    assert error is not None
    assert (error.code, error.params["step"]) == ("train.diverged", 50)
    said = [(a.alarm, a.step) for a in of(AlarmRaised, events)]
    assert said == [("non_finite", 1), ("non_finite_repeated", 3), ("non_finite", 10)]
    assert not run.adapter.exists()


def fill(place: Path) -> Path:
    """Take all room on a small disk."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as f:
        try:
            while True:
                f.write(b"\0" * 4096)
        except OSError:
            return filler


def test_a_full_disk_costs_checkpoints_not_the_run(
    tmp_path: Path,
    small_disk: Callable[[str], Path],
    supervisor: Supervisor,
    home: Home,
    runs: Runs,
) -> None:
    model, data = tiny_model(tmp_path / "m"), write_data(tmp_path / "d.jsonl")
    place = small_disk("8m")
    home.root.mkdir(parents=True)
    home.runs.symlink_to(place)
    run = make_run(home.runs, model, data, steps=100_000, save_steps=2)
    supervisor.start(run, MODULE)
    view = runs.until_step(run, 1)
    filler = fill(place)
    step = max(e.step for e in of(TrainStep, events_of(run)))
    work(view.pid, cpu_s=1.5)  # dozens of steps, none of which it can write down
    filler.unlink()
    view = runs.until_step(run, step + 20)
    assert any(a.alarm == "save_failed" for a in view.state.alarms)
    supervisor.stop(run.run_id)
    view = runs.until_finished(run)
    assert view.status == "stopped"
    events = events_of(run)
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    steps = [e.step for e in of(TrainStep, events)]
    assert steps == list(range(1, len(steps) + 1))
    assert of(CheckpointSaved, events)[-1].step == steps[-1]
    files.verify(run.checkpoints / files.folder_name(steps[-1]))


def work(pid: int, cpu_s: float) -> None:
    """Wait until a process has computed for a while."""
    process = psutil.Process(pid)
    start = process.cpu_times().user
    deadline = time.monotonic() + 60
    while process.cpu_times().user < start + cpu_s:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_result_that_cannot_be_saved_fails_the_run_and_keeps_the_last_checkpoint(
    tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    model, data = tiny_model(tmp_path / "m"), write_data(tmp_path / "d.jsonl")
    place = small_disk("1500k")  # room for the look ahead of a checkpoint, once
    run = make_run(place, model, data, steps=60, save_steps=1, save_total_limit=50)
    events = run_here(run)
    word = last_word(events)
    assert word.outcome == "failed"
    assert word.error is not None
    assert word.error.code == "disk.full"
    assert int(word.error.params["needed_bytes"]) > int(word.error.params["free_bytes"])
    assert [s.step for s in of(TrainStep, events)] == list(range(1, 61))
    failed = [a for a in of(AlarmRaised, events) if a.alarm == "save_failed"]
    assert failed
    assert failed[0].value < failed[0].threshold
    choice = files.choose(run)
    assert choice.step == of(CheckpointSaved, events)[-1].step > 0
    assert not choice.damaged


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_save_loses_only_that_save(
    tmp_path: Path, home: Home, supervisor: Supervisor, runs: Runs
) -> None:
    model, data = tiny_model(tmp_path / "m"), write_data(tmp_path / "d.jsonl")
    values = {"steps": 40, "save_steps": 1, "save_total_limit": 3}
    run = make_run(home.runs, model, data, **values)
    supervisor.start(run, MODULE)
    view = runs.until_step(run, 3)
    deadline = time.monotonic() + 30
    while not any(p.name.endswith(".staging") for p in run.checkpoints.iterdir()):
        assert time.monotonic() < deadline
    os.kill(view.pid, signal.SIGKILL)
    # The verdict comes with the tick after the one that misses the process.
    view = runs.until(run, lambda v: not v.alive and v.status != "running")
    assert view.status == "lost"
    choice = files.choose(run)
    assert choice.path is not None
    assert not choice.damaged
    supervisor.start(run, MODULE)
    assert runs.until_finished(run).status == "completed"
    events = events_of(run)
    assert of(RunStarted, events)[-1].resumed_from_step == choice.step
    assert not [p for p in run.checkpoints.iterdir() if p.name.startswith(".")]
    twin = make_run(tmp_path / "twin", model, data, **values)
    run_here(twin)
    assert (run.adapter / WEIGHTS).read_bytes() == (twin.adapter / WEIGHTS).read_bytes()


@pytest.mark.slow
def test_sigterm_saves_and_ends_as_stopped(
    tmp_path: Path, home: Home, supervisor: Supervisor, runs: Runs
) -> None:
    model, data = tiny_model(tmp_path / "m"), write_data(tmp_path / "d.jsonl")
    run = make_run(home.runs, model, data, steps=100_000)
    supervisor.start(run, MODULE)
    view = runs.until_step(run, 2)
    os.kill(view.pid, signal.SIGTERM)
    view = runs.until_finished(run)
    assert (view.status, view.state.reason, view.verdict) == ("stopped", "signal", None)
    events = events_of(run)
    assert of(CheckpointSaved, events)[-1].step == of(TrainStep, events)[-1].step
    assert of(ArtifactSaved, events)
