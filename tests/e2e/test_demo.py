"""The demo does the main job for real: fewer steps here, everything else as a user sees it."""

import dataclasses
import io
import json

import psutil
import pytest

from app.commands.output import Output
from app.demo import headless
from app.demo.plan import make_plan
from core.errors import AppError
from core.paths import STARTER_MODEL, Home
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
        update={"steps": 5, "eval_max_samples": 4, "eval_every_steps": 0, "device": "cpu"}
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


def test_the_questions_are_held_out_and_in_both_languages():
    plan = make_plan()
    trained = (STARTER_MODEL.parents[1] / "datasets").rglob("train/**/*.jsonl")
    text = "".join(f.read_text(encoding="utf-8") for f in trained)
    assert len(plan.questions) == 2
    assert [q.isascii() for q in plan.questions] == [True, False]
    assert not any(json.dumps(q, ensure_ascii=False) in text for q in plan.questions)
    assert plan.train_samples > 1000


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
    assert len(result["before"]) == len(result["after"]) == 2
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
