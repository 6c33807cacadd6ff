"""The guard on a card: a rollback, a pause that gives the card free, and what the card can do."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no NVIDIA card"),
]

from core.paths import Home  # noqa: E402
from core.protocol.commands import (  # noqa: E402
    ContinueCommand,
    PauseCommand,
    SetLearningRateCommand,
)
from core.protocol.events import (  # noqa: E402
    AlarmRaised,
    CommandAcknowledged,
    EvalDone,
    RolledBack,
    TrainPlanned,
    TrainStep,
)
from core.runlog.evidence import read_evidence  # noqa: E402
from core.runlog.run_dir import RunDir  # noqa: E402
from tests.guarded_runs import (  # noqa: E402
    guarded_run,
    run_with,
    sends,
    taught_model,
    write_sentences,
)
from tests.train_runs import of, run_here  # noqa: E402
from workers.train import throughput  # noqa: E402
from workers.train.device import Place  # noqa: E402
from workers.train.trainer import Trainer  # noqa: E402


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("guarded")
    taught_model(root / "model")
    write_sentences(root / "data.jsonl")
    return root


def test_a_rate_times_100_is_rolled_back_on_a_card(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = of(EvalDone, run_here(guarded_run(tmp_path / "clean", shared, device="cuda")))[-1].loss
    run = guarded_run(tmp_path / "bad", shared, device="cuda")
    events = run_with(run, monkeypatch, {60: sends(SetLearningRateCommand(lr_scale=100))})
    assert len(of(RolledBack, events)) >= 1
    assert of(EvalDone, events)[-1].loss < clean + 0.1
    (alarm, *_) = [a for a in of(AlarmRaised, events) if a.action == "rollback"]
    assert read_evidence(run.path, alarm.evidence).samples
    assert all(s.reserved_memory_gib for s in of(TrainStep, events))


@pytest.mark.parametrize("values", [{}, {"load_in_4bit": True}, {"method": "full"}])
def test_a_pause_gives_the_card_free_and_the_run_goes_on_as_if_there_had_been_none(
    values: dict[str, object], shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[tuple[int, int]] = []

    def pause(trainer: Trainer, run: RunDir) -> None:
        before = torch.cuda.memory_allocated()
        sends(PauseCommand(free_gpu=True))(trainer, run)
        trainer._commands.obey()
        held.append((before, torch.cuda.memory_allocated()))
        sends(ContinueCommand())(trainer, run)

    how = {"device": "cuda", "precision": "fp32", "steps": 12, **values}
    straight = of(TrainStep, run_here(guarded_run(tmp_path / "straight", shared, **how)))
    run = guarded_run(tmp_path / "paused", shared, **how)
    events = run_with(run, monkeypatch, {6: pause})
    ((before, after),) = held
    assert after < 0.2 * before
    assert all(a.accepted and not a.detail for a in of(CommandAcknowledged, events))
    paused = [s.loss for s in of(TrainStep, events)]
    assert paused == pytest.approx([s.loss for s in straight], rel=1e-3)


def test_the_card_s_speed_is_measured_quickly_and_remembered(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place("cuda", "bf16")
    peak = throughput.matmul_peak_flops(place, Home(tmp_path))
    assert peak is not None
    assert 1e12 < peak < 1e16
    monkeypatch.setattr(throughput, "_measure", lambda _: pytest.fail("measured again"))
    assert throughput.matmul_peak_flops(place, Home(tmp_path)) == peak


def test_the_plan_says_what_a_token_costs(shared: Path, tmp_path: Path) -> None:
    (plan,) = of(TrainPlanned, run_here(guarded_run(tmp_path, shared, device="cuda", steps=1)))
    assert plan.flops_per_token
    assert plan.tokens_per_step
    assert plan.matmul_peak_flops
