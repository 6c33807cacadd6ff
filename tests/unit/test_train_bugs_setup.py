"""What other tools let pass before the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.config.train import TrainSpec
from core.errors import ErrorCode, UsageError
from core.protocol.events import TrainPlanned, TrainStep
from tests.tiny_models import build_tiny
from tests.train_runs import last_word, make_run, of, run_here, write_data
from workers.train.schedule import make_schedule


@pytest.mark.parametrize(
    ("arch", "names", "unknown"),
    [
        ("deepseek_v3", ["q_proj", "v_proj"], "q_proj, v_proj"),
        ("deepseek_v2", ["q_proj", "v_proj"], "v_proj"),
        ("llama", ["q_proj", "w_pack"], "w_pack"),
    ],
)
def test_a_target_that_no_module_has_ends_the_run_before_it_begins(
    tmp_path: Path, arch: str, names: list[str], unknown: str
) -> None:
    """PEFT adapts what matches and is silent about the rest: on V2-Lite, `q_proj` alone."""
    model, data = build_tiny(tmp_path / arch, arch), write_data(tmp_path / "data.jsonl")
    run = make_run(tmp_path / "runs", model, data, lora={"target_modules": names})
    error = last_word(run_here(run)).error
    assert error is not None
    assert error.code == ErrorCode.TRAIN_TARGETS_UNKNOWN.value
    assert error.params["names"] == unknown


def test_what_is_adapted_is_said_before_the_first_step(tmp_path: Path) -> None:
    model, data = build_tiny(tmp_path / "m", "deepseek_v3"), write_data(tmp_path / "data.jsonl")
    lora = {"target_modules": ["all-linear"]}
    events = run_here(make_run(tmp_path / "runs", model, data, steps=1, lora=lora))
    (plan,) = of(TrainPlanned, events)
    assert plan.target_modules == [
        "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "q_a_proj", "q_b_proj",
    ]  # fmt: skip
    assert events.index(plan) < events.index(of(TrainStep, events)[0])


def build_with_new_tokens(path: Path) -> Path:
    """A model whose tokenizer got tokens that its embedding has no rows for."""
    from transformers import AutoTokenizer

    build_tiny(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.add_tokens([f"<new{i}>" for i in range(400)])
    tokenizer.save_pretrained(path)
    return path


@pytest.mark.parametrize("method", ["lora", "full"])
def test_tokens_without_a_row_are_refused_or_get_one_that_is_trained(
    tmp_path: Path, method: str
) -> None:
    """An adapter would leave new rows as they were born: noise that is never trained."""
    model = build_with_new_tokens(tmp_path / "m")
    data = write_data(tmp_path / "data.jsonl")
    data.write_text(data.read_text("utf-8").replace("What is", "<new399> is"), "utf-8")
    run = make_run(tmp_path / "runs", model, data, steps=2, method=method)
    events = run_here(run)
    if method == "lora":
        error = last_word(events).error
        assert error is not None
        assert error.code == ErrorCode.MODEL_VOCABULARY_TOO_SMALL.value
        assert not of(TrainStep, events)
    else:
        assert last_word(events).outcome == "completed"
        (plan,) = of(TrainPlanned, events)
        assert "vocabulary_grew" in {note.code for note in plan.notes}


def spec(**values: Any) -> TrainSpec:
    return TrainSpec.parse({"model": "m", "data": "d", **values})


@pytest.mark.parametrize("shape", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup", [0, 1, 5])
def test_no_step_is_wasted_with_a_rate_of_zero(shape: str, warmup: int) -> None:
    """transformers' warm-up begins at zero: its first batch teaches nothing."""
    schedule = make_schedule(
        spec(lr_scheduler_type=shape, warmup_steps=warmup, learning_rate=1e-3), 20
    )
    rates = [schedule.learning_rate(step) for step in range(20)]
    assert min(rates) > 0
    assert max(rates) == 1e-3
    assert rates[max(0, warmup - 1)] == 1e-3


def test_a_warm_up_that_outlasts_the_run_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        make_schedule(spec(warmup_steps=50), 50)
    assert caught.value.code is ErrorCode.TRAIN_WARMUP_TOO_LONG
