"""Training on an NVIDIA card: precision, loss scaling, memory, waits for the card."""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no NVIDIA card"),
]

from core.protocol.events import AlarmRaised, SampleGenerated, TrainPlanned, TrainStep  # noqa: E402
from tests.tiny_models import ARCHITECTURES  # noqa: E402
from tests.train_runs import (  # noqa: E402
    last_word,
    make_run,
    of,
    run_here,
    tiny_model,
    write_data,
)

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shared")
    for arch in ARCHITECTURES:
        tiny_model(root / arch, arch)
    write_data(root / "data.jsonl", 40)
    return root


@pytest.fixture(autouse=True)
def clean_card() -> Iterator[None]:
    from accelerate.state import AcceleratorState

    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def train(shared: Path, tmp_path: Path, arch: str = "llama", **values: Any) -> list[Any]:
    lora = {"r": 8, "target_modules": ["all-linear"]}
    values = {"device": "cuda", "lora": lora, "steps": 30, **values}
    return run_here(make_run(tmp_path, shared / arch, shared / "data.jsonl", **values))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_learns_in_every_precision(
    shared: Path, tmp_path: Path, arch: str, precision: str
) -> None:
    if precision == "bf16" and not torch.cuda.is_bf16_supported():
        pytest.skip("the card has no bf16")
    events = train(shared, tmp_path, arch, precision=precision)
    assert last_word(events).outcome == "completed", last_word(events).error
    steps = [s for s in of(TrainStep, events) if not s.update_skipped]
    assert len(steps) >= 25
    assert steps[-1].loss < steps[0].loss - 0.1
    assert not [a for a in of(AlarmRaised, events) if a.alarm == "non_finite"]


def test_auto_takes_bf16_where_the_card_has_it(shared: Path, tmp_path: Path) -> None:
    (plan,) = of(TrainPlanned, train(shared, tmp_path, steps=1, precision="auto"))
    expected = "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    assert (plan.device, plan.dtype, plan.memory_source) == ("cuda", expected, "cuda")
    total = torch.cuda.get_device_properties(0).total_memory / 2**30
    assert plan.memory_limit_gib == pytest.approx(total)


def test_memory_is_the_allocators(shared: Path, tmp_path: Path) -> None:
    step = of(TrainStep, train(shared, tmp_path, steps=2))[-1]
    assert 0 < step.memory_gib <= step.peak_memory_gib < 1.0


def test_the_card_and_the_processor_agree(shared: Path, tmp_path: Path) -> None:
    here, there = (
        of(TrainStep, train(shared, tmp_path / d, steps=8, device=d, precision="fp32"))
        for d in ("cpu", "cuda")
    )
    for a, b in zip(here, there, strict=True):
        # The adapters are born from the same seed on both: made on the CPU, or by the same stream.
        assert math.isclose(a.loss, b.loss, rel_tol=0.05)


def test_too_much_for_the_card_is_said_with_numbers(shared: Path, tmp_path: Path) -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    try:
        torch.cuda.set_per_process_memory_fraction(64 * 2**20 / total)
        events = train(shared, tmp_path, batch_size=4096, gradient_accumulation_steps=1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    error = last_word(events).error
    assert error is not None
    assert error.code == "train.out_of_memory"
    assert float(error.params["needed_gib"]) > 0


def test_a_resumed_run_goes_on_with_the_losses_of_the_unbroken_one(
    shared: Path, tmp_path: Path
) -> None:
    values = {
        "device": "cuda", "steps": 8, "save_steps": 4, "save_total_limit": 9,
        "precision": "fp32", "lora": {"r": 8, "lora_dropout": 0.2},
    }  # fmt: skip
    run = make_run(tmp_path, shared / "llama", shared / "data.jsonl", **values)
    whole = {s.step: s.loss for s in of(TrainStep, run_here(run))}
    shutil.rmtree(run.checkpoints / "step-000008")
    resumed = of(TrainStep, run_here(run))[-4:]
    assert [s.step for s in resumed] == [5, 6, 7, 8]
    for step in resumed:
        assert step.loss == pytest.approx(whole[step.step], rel=1e-4)


def test_answers_are_generated_on_the_card(shared: Path, tmp_path: Path) -> None:
    events = train(shared, tmp_path, steps=1, sample_prompts=["What is fox?"], precision="bf16")
    assert len(of(SampleGenerated, events)) == 2


def test_the_host_waits_for_the_card_once_a_step_and_once_a_forward_pass(
    shared: Path, tmp_path: Path
) -> None:
    """Our own code reads the device once a step; transformers looks at positions per forward."""
    import numpy as np

    from core.config.train import TrainSpec
    from workers.train import model as loading
    from workers.train.batches import make_window
    from workers.train.device import Place
    from workers.train.encoding import Encoded
    from workers.train.objective import Objective
    from workers.train.optimizers import make_optimizer
    from workers.train.stepper import Stepper

    place = Place("cuda", "bf16")
    info = loading.inspect(shared / "llama")
    base = loading.load_base(info, loading.load_tokenizer(info), place)
    spec = TrainSpec(model="m", data="d")
    peft_model, _ = loading.add_adapter(base, spec.lora)
    accelerator = place.accelerator()
    model, optimizer = accelerator.prepare(peft_model, make_optimizer(peft_model, spec, place))
    stepper = Stepper(accelerator, model, optimizer, Objective(model, forward_of=base.model), 1.0)
    rows = [Encoded(np.arange(3, 40, dtype=np.int32), np.arange(37) > 4) for _ in range(8)]
    window = make_window(rows, 2, 0)
    for _ in range(3):
        stepper.step(window, 1e-4)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            stepper.step(window, 1e-4)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [w for w in caught if "synchroniz" in str(w.message)]
    ours = [w for w in waits if "workers" in w.filename]
    print(f"{len(waits)} waits a step, {len(ours)} of them ours, {len(window.batches)} forwards")
    assert len(ours) == 1, [f"{w.filename}:{w.lineno}" for w in ours]
    assert len(waits) <= 1 + len(window.batches)
