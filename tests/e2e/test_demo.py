"""The demo does the main job for real: fewer steps here, everything else as a user sees it."""

import dataclasses
import io
import json
import os
import subprocess
import sys

import psutil
import pytest

from app.commands.output import Output
from app.demo import headless
from app.demo.plan import make_plan
from core.errors import AppError
from core.paths import PROJECT_ROOT, STARTER_MODEL, Home
from core.services import build

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        not (STARTER_MODEL / "model.safetensors").is_file(), reason="no starter model"
    ),
]


@pytest.fixture
def plan():
    whole = make_plan()
    spec = whole.spec.model_copy(
        update={"steps": 5, "eval_max_samples": 4, "eval_steps": 0, "device": "cpu"}
    )
    return dataclasses.replace(whole, spec=spec)


@pytest.fixture
def services(tmp_path):
    return build(Home(tmp_path / "home"))


def workers_of(home):
    mark = str(home.root)
    return [
        p for p in psutil.process_iter(["cmdline"]) if mark in " ".join(p.info["cmdline"] or [])
    ]


def test_it_asks_what_is_taught_and_what_is_not_in_both_languages():
    plan = make_plan()
    trained = (STARTER_MODEL.parents[1] / "datasets").rglob("train/**/*.jsonl")
    text = "".join(f.read_text(encoding="utf-8") for f in trained)
    for questions, taught in ((plan.taught, True), (plan.held_out, False)):
        assert [q.isascii() for q in questions] == [True, False]
        assert [json.dumps(q, ensure_ascii=False) in text for q in questions] == [taught] * 2
    assert plan.train_samples > 500


def test_the_demo_teaches_serves_asks_and_leaves_pictures_and_a_report(
    services, plan, tmp_path, monkeypatch
):
    monkeypatch.setattr(headless, "_PAGES", ("train",))
    stream = io.StringIO()
    out = Output(as_json=True, language="en", stream=stream)
    assert headless.play(services, out, tmp_path / "out", plan) == 0
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    (result,) = [o for o in said if o["event"] == "demo.result"]
    assert result["losses"]["accuracy"]["after"] < result["losses"]["accuracy"]["before"]
    assert len(result["before"]) == len(result["after"]) == len(plan.questions)
    assert result["before"] != result["after"]  # the adapter was really used
    assert "<svg" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert len(list((tmp_path / "out").glob("train-*.png"))) == 4
    assert not services.home.settings_file.exists()  # pictures change no settings
    assert workers_of(services.home) == []


def test_a_demo_whose_training_fails_says_why_and_leaves_nothing_running(services, plan, tmp_path):
    lost = plan.spec.model_copy(update={"data": str(tmp_path / "nowhere")})
    out = Output(as_json=True, language="en", stream=io.StringIO())
    with pytest.raises(AppError) as e:
        headless.play(services, out, tmp_path / "out", dataclasses.replace(plan, spec=lost))
    assert e.value.code == "data.not_found"
    assert workers_of(services.home) == []


IN_THE_WINDOW = """
import dataclasses, json, sys
from pathlib import Path
from PySide6.QtCore import QTimer
from app.bootstrap import compose, make_app, open_window
from app.demo.director import Director
from app.demo.plan import make_plan
from core.paths import Home

home, stop_at = Home(Path(sys.argv[1])), sys.argv[2]
plan = make_plan()
plan = dataclasses.replace(plan, spec=plan.spec.model_copy(update={"steps": 5}))
app = make_app()
deck = compose(app, home)
open_window(deck)
director = Director(deck.window, plan, pace=0.02)
supervisor = deck.window.ctx.services.supervisor

def look():
    if stop_at and any(supervisor.view(r).job == stop_at for r in director.runs):
        director.bar.stop_button.click()

def leave():
    if not any(supervisor.view(r).alive for r in director.runs):
        app.quit()

looking, leaving = QTimer(interval=50), QTimer(interval=50)
looking.timeout.connect(look)
leaving.timeout.connect(leave)

def over(whole):
    looking.stop()
    print(json.dumps([whole, director.answers, director.bar.words.text()]), flush=True)
    director.stop_runs()
    leaving.start()

director.finished.connect(over)
director.start()
looking.start()
app.exec()
deck.close()
"""


def in_the_window(home, stop_at=""):
    env = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": str(PROJECT_ROOT),
           "OMP_NUM_THREADS": "1", "DEEPDECK_HOME": str(home.root)}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", IN_THE_WINDOW, str(home.root), stop_at],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_window_plays_the_main_job_on_its_own_pages(tmp_path):
    home = Home(tmp_path / "home")
    whole, answers, words = in_the_window(home)
    assert whole, words
    assert len(answers) == 2
    assert all(answers)
    jobs = sorted(json.loads(f.read_text())["job"] for f in home.runs.glob("*/run.json"))
    assert jobs == ["serve", "serve", "train"]
    assert workers_of(home) == []


def test_the_demo_can_be_stopped_in_the_middle_of_the_training(tmp_path):
    home = Home(tmp_path / "home")
    whole, answers, _words = in_the_window(home, stop_at="train")
    assert not whole
    assert len(answers) == 1
    assert workers_of(home) == []
