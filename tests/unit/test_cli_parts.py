"""Grammar, settings and texts of the command line."""

from __future__ import annotations

import io
import json
import string

import pytest

from app.cli import build_parser, choose_language, main
from app.commands.output import Output
from app.commands.serve import curl_line
from app.commands.train import assign, train_spec
from app.texts.cli import CLI
from core.config.serve import ServeSpec
from core.config.train import TrainSpec
from core.errors import UsageError


def spec(*words: str) -> TrainSpec:
    return train_spec(build_parser("en").parse_args(["train", *words]))


def test_options_win_over_the_file_and_settings_over_options(tmp_path) -> None:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"model": "a", "data": "d", "steps": 5, "lora": {"lora_alpha": 4}}))
    found = spec("--spec", str(file), "--model", "b", "--steps", "6", "--set", "steps=7",
                 "--set", "lora.r=2")  # fmt: skip
    assert (found.model, found.data, found.max_steps) == ("b", "d", 7)
    assert (found.lora.r, found.lora.lora_alpha) == (2, 4)


def test_several_settings_may_stand_behind_one_set_or_behind_several() -> None:
    found = spec("--model", "m", "--set", "steps=7", "seed=3", "--data", "d", "--set", "epochs=2")
    assert (found.max_steps, found.seed, found.num_train_epochs) == (7, 3, 2)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("learning_rate=3e-4", 3e-4),
        ("steps=null", None),
        ("name=2026", "2026"),
        ("name=a=b", "a=b"),
        ("precision=bf16", "bf16"),
        ('sample_prompts=["What?"]', ["What?"]),
        ("sample_prompts=What is it?,And why?", ["What is it?", "And why?"]),
    ],
)
def test_values_are_read_as_their_field_wants_them(assignment: str, expected: object) -> None:
    values: dict[str, object] = {}
    assign(values, assignment, TrainSpec)
    assert values == {assignment.partition("=")[0]: expected}


def test_groups_nest() -> None:
    values: dict[str, object] = {}
    assign(values, "lora.r=8", TrainSpec)
    assign(values, "lora.target_modules=q_proj,k_proj", TrainSpec)
    assert values == {"lora": {"r": 8, "target_modules": ["q_proj", "k_proj"]}}
    with pytest.raises(UsageError):
        assign(values, "lora.r.deep=1", TrainSpec)


def test_a_host_that_looks_like_a_number_stays_a_word() -> None:
    values: dict[str, object] = {}
    assign(values, "host=0", ServeSpec)
    assert values == {"host": "0"}


@pytest.mark.parametrize(
    ("words", "environment", "language"),
    [
        (["--lang", "zh"], {}, "zh"),
        (["--lang=en"], {"DEEPDECK_LANG": "zh"}, "en"),
        ([], {"DEEPDECK_LANG": "zh_CN"}, "zh"),
        ([], {"LANG": "zh_CN.UTF-8"}, "zh"),
        ([], {"LANG": "de_DE.UTF-8"}, "en"),
        ([], {"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, "en"),
    ],
)
def test_the_language_is_the_first_that_is_said(
    monkeypatch: pytest.MonkeyPatch, words: list[str], environment: dict[str, str], language: str
) -> None:
    for name in ("DEEPDECK_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert choose_language(words) == language


@pytest.mark.parametrize("key", CLI)
def test_both_languages_name_the_same_facts(key: str) -> None:
    def names(template: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(template)} - {None}

    assert names(CLI[key].en) == names(CLI[key].zh)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_help_is_there_in_both_languages(language: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["train"], ["serve"], ["runs"], ["models"], ["doctor"], ["demo"]):
        with pytest.raises(SystemExit) as e:
            main([*words, "--help", "--lang", language])
        assert e.value.code == 0
    assert ("微调" in capsys.readouterr().out) == (language == "zh")


@pytest.mark.parametrize("place", ["before", "after"])
def test_json_may_stand_before_or_after_the_command(
    capsys: pytest.CaptureFixture[str], place: str
) -> None:
    words = (
        ["--json", "runs", "show", "x"] if place == "before" else ["runs", "show", "x", "--json"]
    )
    assert main(words) == 2
    out = capsys.readouterr().out
    assert json.loads(out)["code"] == "run.not_found"


def test_json_output_is_one_strict_object_a_line() -> None:
    stream = io.StringIO()
    out = Output(as_json=True, language="en", stream=stream)
    out.object("x", values=(1.0, float("nan"), float("-inf")), text="a\nb", nested={"set": {1}})
    out.say("no_runs")
    out.line("for people")
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert found["values"] == [1.0, "NaN", "-Infinity"]
    assert found["text"] == "a\nb"


def test_the_curl_line_survives_a_shell() -> None:
    import shlex

    words = shlex.split(curl_line("http://127.0.0.1:8000", "dd-key", "m'odel"))
    assert words[:2] == ["curl", "http://127.0.0.1:8000/v1/chat/completions"]
    assert json.loads(words[-1])["model"] == "m'odel"
