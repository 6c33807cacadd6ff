"""A capsule: one zip of a run that opens as a new run and says what is not the same."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from core.config.train import TrainSpec
from core.errors import ErrorCode, UsageError
from core.paths import Home
from core.protocol.events import RunFinished, RunStarted, TrainStep
from core.runlog.run_dir import RunDir, new_run_id
from core.runlog.writer import EventWriter
from core.services import build
from core.services.capsule import Capsule, environment_lock, export_capsule, open_capsule
from core.services.documents import run_document
from tests.tiny_models import build_tiny
from tests.train_runs import write_data


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("m") / "tiny-model")


def finished_run(home: Home, model: Path, data: Path, **versions: str) -> RunDir:
    spec = TrainSpec(model=str(model), data=str(data), seed=7, max_steps=3)
    document = run_document("train", spec, name="a run", seed=7) | {
        "model": "tiny-model", "dataset": data.name,
    }  # fmt: skip
    run = RunDir.create(home.runs, new_run_id("train", "t"), document)
    with EventWriter(run.events, run.run_id) as writer:
        writer.write(RunStarted(job="train", versions=versions))
        for step in (1, 2, 3):
            writer.write(TrainStep(step=step, loss=3.0 / step))
        writer.write(RunFinished(outcome="completed", reason="completed", result={"steps": 3}))
    return run


@pytest.fixture
def capsule(home: Home, model: Path, tmp_path: Path) -> Path:
    run = finished_run(home, model, write_data(tmp_path / "d.jsonl"), torch="0.0.1")
    return export_capsule(run)


def opened(home: Home, path: Path) -> Capsule:
    return open_capsule(path, build(home).models)


def test_it_holds_what_is_needed_to_repeat_the_run_and_no_weights(capsule: Path) -> None:
    with zipfile.ZipFile(capsule) as f:
        assert set(f.namelist()) == {
            "capsule.json", "environment.txt", "curves/steps.csv", "events-tail.jsonl",
        }  # fmt: skip
        manifest = json.loads(f.read("capsule.json"))
        assert len(f.read("curves/steps.csv").splitlines()) == 4
        assert any(line.startswith(b"pydantic==") for line in f.read("environment.txt").split())
    assert (manifest["seed"], manifest["steps"], manifest["outcome"]) == (7, 3, "completed")
    assert len(manifest["model"]["fingerprint"]) == 64
    assert [len(f["sha256"]) for f in manifest["data"]["files"]] == [64]
    assert capsule.stat().st_size < 100_000


def test_it_opens_as_the_same_spec_and_names_other_versions(home: Home, capsule: Path) -> None:
    found = opened(home, capsule)
    assert (found.spec.seed, found.spec.max_steps) == (7, 3)
    assert [d.code for d in found.differences] == ["capsule_version"]
    assert found.differences[0].params["package"] == "torch"
    assert found.differences[0].params["then"] == "0.0.1"


def test_changed_data_and_weights_are_named(home: Home, capsule: Path, tmp_path: Path) -> None:
    spec = opened(home, capsule).spec
    write_data(Path(spec.data), 24)
    with zipfile.ZipFile(capsule) as f:
        files = {name: f.read(name) for name in f.namelist()}
    manifest = json.loads(files["capsule.json"])
    moved = build_tiny(tmp_path / "other", seed=3)
    manifest["spec"]["model"] = str(moved)
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as f:
        f.writestr("capsule.json", json.dumps(manifest))
    codes = {d.code for d in opened(home, tmp_path / "c.zip").differences}
    assert codes == {"capsule_model_changed", "capsule_data_changed", "capsule_version"}


def test_a_model_that_moved_is_found_in_the_library_by_its_content(
    home: Home, model: Path, tmp_path: Path
) -> None:
    import shutil

    elsewhere = tmp_path / "then" / "tiny-model"
    shutil.copytree(model, elsewhere)
    path = export_capsule(finished_run(home, elsewhere, write_data(tmp_path / "d.jsonl")))
    shutil.rmtree(elsewhere)
    assert [d.code for d in opened(home, path).differences] == ["capsule_model_missing"]
    build(home).models.add(model, "another name")
    found = opened(home, path)
    assert (found.spec.model, found.differences) == (str(model), ())


@pytest.mark.parametrize(
    "content",
    [b"no zip", b"", "no manifest", '{"v": 9}', "[]", '{"v": 1}', '{"v": 1, "spec": {"x": 1}}'],
)
def test_a_damaged_capsule_is_refused(home: Home, tmp_path: Path, content: Any) -> None:
    path = tmp_path / "c.zip"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as f:
            name = "capsule.json" if content != "no manifest" else "other"
            f.writestr(name, content)
    with pytest.raises(UsageError) as caught:
        opened(home, path)
    assert caught.value.code in (ErrorCode.CAPSULE_DAMAGED, ErrorCode.BAD_VALUE)


def test_the_lock_has_each_package_once_in_order() -> None:
    lines = environment_lock()
    assert lines == sorted(set(lines), key=lambda x: x.partition("==")[0].lower())
    assert any(line.startswith("torch==") for line in lines)


def test_the_command_line_writes_one_and_begins_again_from_it(
    home: Home, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished_run(home, model, write_data(tmp_path / "d.jsonl"), torch="0.0.1")
    target = tmp_path / "mine.zip"
    assert main(["runs", "capsule", run.run_id, "--to", str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["capsule"] == str(target)
    # Refused before anything is started, so that the opened values are seen in the refusal.
    wrong = ["--set", "lora.target_modules=nonsense", "--lang", "en"]
    assert main(["train", "--capsule", str(target), *wrong]) == 2
    said = capsys.readouterr()
    assert "torch was 0.0.1 then" in said.out
    assert "no modules named nonsense" in said.err
