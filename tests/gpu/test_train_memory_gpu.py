"""Memory on an NVIDIA card: forecasts, the dry run, and the ladder after real errors."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no NVIDIA card"),
]

from core.config.train import TrainSpec  # noqa: E402
from core.paths import Home  # noqa: E402
from core.planning.calibration import Calibration, method_of  # noqa: E402
from core.protocol.events import (  # noqa: E402
    DryRunDone,
    MemoryRanOut,
    RunStarted,
    TrainPlanned,
    TrainStep,
)
from core.runlog.overrides import effective_spec  # noqa: E402
from tests.tiny_models import build_tiny  # noqa: E402
from tests.train_runs import last_word, make_run, of, run_here, write_data  # noqa: E402

GIB = 2**30


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 30 million parameters: large enough that its memory is not noise."""
    root = tmp_path_factory.mktemp("memory")
    sizes = {
        "hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8,
        "num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 2048,
        "vocab_size": 32_000,
    }  # fmt: skip
    build_tiny(root / "llama", dtype="bfloat16", **sizes)
    write_data(root / "data.jsonl", 64)
    return root


@pytest.fixture(autouse=True)
def clean_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    from accelerate.state import AcceleratorState

    monkeypatch.setenv("DEEPDECK_HOME", str(tmp_path / "home"))
    empty_the_card()
    torch.cuda.reset_peak_memory_stats()
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    AcceleratorState._reset_state(reset_partial_state=True)
    empty_the_card()


def empty_the_card() -> None:
    """A run's parts refer to each other: in one process its model stays until they are collected,
    and would be measured with the next run. (1.3 GiB of earlier tests were seen on an H200.)
    """
    gc.collect()
    torch.cuda.empty_cache()


def run_of(shared: Path, runs: Path, **values: Any) -> Any:
    values = {
        "device": "cuda", "precision": "bf16", "batch_size": 512,
        "gradient_accumulation_steps": 2, "steps": 4, "eval_max_samples": 2,
        "lora": {"r": 8, "target_modules": ["all-linear"]}, **values,
    }  # fmt: skip
    return make_run(runs, shared / "llama", shared / "data.jsonl", **values)


def limit_to(gib: float) -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, gib * GIB / total))


@pytest.mark.parametrize("fast_kernels", [True, False])
@pytest.mark.parametrize("gradient_checkpointing", ["off", "selective", "full"])
@pytest.mark.parametrize("chunked_loss", [True, False])
def test_the_forecast_is_near_what_is_measured(
    shared: Path, tmp_path: Path, fast_kernels: bool, gradient_checkpointing: str,
    chunked_loss: bool,
) -> None:  # fmt: skip
    events = run_here(
        run_of(
            shared,
            tmp_path,
            steps=1,
            fast_kernels=fast_kernels,
            chunked_loss=chunked_loss,
            gradient_checkpointing=gradient_checkpointing,
        )
    )
    assert last_word(events).outcome == "completed", last_word(events).error
    (plan,), (done,) = of(TrainPlanned, events), of(DryRunDone, events)
    parts = plan.memory_parts_gib
    outside = 0.55 + parts["fragmentation"]
    forecast = sum(parts.values()) - outside
    print(f"\n{fast_kernels=} {gradient_checkpointing} {chunked_loss=}: "
          f"forecast {forecast:.3f}, measured {done.peak_memory_gib:.3f} GiB, "
          f"{forecast / done.peak_memory_gib - 1:+.1%}")  # fmt: skip
    # Small models have proportionally more of what is not counted; 7B is in docs/benchmarks.md.
    assert forecast == pytest.approx(done.peak_memory_gib, rel=0.25, abs=0.15), (
        f"forecast {forecast:.3f} of {parts}, measured {done.peak_memory_gib:.3f} GiB of "
        f"{done.memory_parts_gib}"
    )


def test_the_dry_run_measures_and_leaves_nothing(shared: Path, tmp_path: Path) -> None:
    values = {"precision": "fp32", "steps": 3, "batch_size": 4}
    losses = []
    for dry_run in (False, True):
        events = run_here(run_of(shared, tmp_path / str(dry_run), dry_run=dry_run, **values))
        assert last_word(events).outcome == "completed", last_word(events).error
        losses.append([s.loss for s in of(TrainStep, events)])
    (done,) = of(DryRunDone, events)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert done.memory_parts_gib["weights"] > 0.05
    assert done.memory_parts_gib["optimizer"] > 0
    assert done.memory_parts_gib["activations"] > 0
    assert done.energy_kwh is None or done.energy_kwh > 0
    step = of(TrainStep, events)[-1]
    assert step.peak_memory_gib == pytest.approx(done.peak_memory_gib, rel=0.2, abs=0.05)


def test_a_measured_run_teaches_the_next_forecast(shared: Path, tmp_path: Path) -> None:
    run = run_of(shared, tmp_path, steps=1, batch_size=2048, gradient_accumulation_steps=1)
    events = run_here(run)
    assert last_word(events).outcome == "completed", last_word(events).error
    spec = TrainSpec.parse(run.document()["spec"])
    known = Calibration(Home.default().memory_calibration)
    assert Home.default().memory_calibration.is_file()
    correction = known.correction(torch.cuda.get_device_name(0), method_of(spec))
    assert 0.7 <= correction <= 1.5


def test_after_a_real_error_the_ladder_is_climbed_and_the_loss_goes_on(
    shared: Path, tmp_path: Path
) -> None:
    """As little memory as lets the model live, and a micro-batch that is far too large for it."""
    roomy = run_of(shared, tmp_path / "roomy", chunked_loss=False, fast_kernels=False)
    events = run_here(roomy)
    assert last_word(events).outcome == "completed", last_word(events).error
    expected = [s.loss for s in of(TrainStep, events)]
    needed = of(DryRunDone, events)[0].peak_memory_gib
    empty_the_card()
    limit_to(max(0.6, needed / 6))
    run = run_of(
        shared, tmp_path / "narrow", chunked_loss=False, fast_kernels=False, oom_ladder=True
    )
    events = run_here(run)
    ran_out = of(MemoryRanOut, events)
    climbed = "\n".join(
        f"{e.applied or 'nothing'} after {e.allocated_gib:.2f} + {e.needed_gib:.2f} GiB, reserved "
        f"{e.reserved_gib:.2f}, {[f.code for f in e.findings]}"
        for e in ran_out
    )
    told = f"needed {needed:.2f} GiB, limit {max(0.6, needed / 6):.2f} GiB\n{climbed}"
    print(told)
    assert last_word(events).outcome == "completed", f"{last_word(events).error}\n{told}"
    assert ran_out
    assert ran_out[0].applied, told
    assert ran_out[0].needed_gib > 0, told
    assert {"memory.while", "memory.largest_part", "memory.longest_sample"} <= {
        f.code for f in ran_out[0].findings
    }, told
    assert TrainSpec.parse(effective_spec(run)).window_samples == 1024, told
    losses = [s.loss for s in of(TrainStep, events)]
    assert losses == pytest.approx(expected, rel=2e-2), f"{losses} for {expected}\n{told}"


def test_memory_that_is_taken_in_the_middle_costs_no_step(shared: Path, tmp_path: Path) -> None:
    """Another program takes the card at step 3: here, the limit is lowered then."""
    from workers.train import trainer

    run = run_of(
        shared, tmp_path, chunked_loss=False, fast_kernels=False, oom_ladder=True, steps=5,
        batch_size=256, gradient_accumulation_steps=1,
    )  # fmt: skip
    plain = trainer.Trainer._step

    def narrower(self: Any) -> bool:
        if self._state.step == 2 and not self._parts.spec.chunked_loss:
            torch.cuda.empty_cache()
            limit_to(torch.cuda.memory_allocated() / GIB + 0.1)
        else:
            limit_to(1e6)
        return plain(self)

    trainer.Trainer._step = narrower  # type: ignore[method-assign]
    try:
        events = run_here(run)
    finally:
        trainer.Trainer._step = plain  # type: ignore[method-assign]
    assert last_word(events).outcome == "completed", last_word(events).error
    assert [s.step for s in of(TrainStep, events)] == [1, 2, 3, 4, 5]
    (event, *_) = of(MemoryRanOut, events)
    assert event.step == 2
    assert [s.resumed_from_step for s in of(RunStarted, events)][1] == 2


def test_without_consent_it_ends_with_the_ladder(shared: Path, tmp_path: Path) -> None:
    limit_to(0.5)
    events = run_here(run_of(shared, tmp_path, chunked_loss=False, batch_size=4096))
    error = last_word(events).error
    assert error is not None
    assert error.code == "train.out_of_memory"
    (event,) = of(MemoryRanOut, events)
    assert event.applied == ""
    saving = [r for r in event.ladder if r.saves_gib > 0]
    assert len(saving) >= 3
