"""What two processes check together; started by `test_train_parallel.py` with torchrun's variables.

Both also train alone, in the same process, and compare: `python -m tests.parallel_checks FOLDER`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from core.config.train import TrainSpec
from workers.harness.team import Team
from workers.train import checkpoint, model, random_state, trained_state
from workers.train.adapters import make_trainable
from workers.train.batches import Rows, Window, make_window
from workers.train.device import Place
from workers.train.encoding import Encoded
from workers.train.fast.entry import accelerate
from workers.train.objective import Objective
from workers.train.optimizers import make_optimizer
from workers.train.parallel.seat import Seat, hidden
from workers.train.parallel.strategies import strategy_of
from workers.train.parallel.team import ProcessTeam
from workers.train.stepper import Stepper

STEPS = 8
PLACE = Place("cpu", "fp32")
REL = 1e-4


@dataclass
class Built:
    model: Any
    optimizer: Any
    stepper: Stepper
    objective: Objective


class TestTeam(ProcessTeam):
    """Without a run."""

    def __init__(self, seat: Seat, *, data_split: bool, in_step: bool) -> None:
        self.rank, self.size, self.in_step = seat.rank, seat.world_size, in_step
        if data_split:
            self.data_rank, self.data_size = seat.rank, seat.world_size


def spec_of(folder: Path, arch: str, parallel: dict[str, Any], **values: Any) -> TrainSpec:
    return TrainSpec.parse(
        {"model": str(folder / arch), "data": "-", "learning_rate": 1e-2, "device": "cpu",
         "lora": {"target_modules": ["all-linear"]},
         "parallel": parallel, **values}
    )  # fmt: skip


def build(spec: TrainSpec, team: Team, *, fast: bool = False) -> Built:
    strategy = strategy_of(team, spec.parallel)
    base = model.load_base(model.inspect(Path(spec.model)), None, PLACE, spec, strategy)
    random_state.seed_all(0)
    trained = make_trainable(base, spec, PLACE)
    if fast:
        assert accelerate(trained.model, without_kernels=True).switched_on
    strategy.spread(trained.model, "cpu")
    optimizer = make_optimizer(trained.model, spec, PLACE)
    accelerator = PLACE.accelerator()
    prepared, wrapped = strategy.wrap(accelerator, trained.model, optimizer, 1.0)
    objective = Objective(prepared, forward_of=base.model)
    stepper = Stepper(accelerator, prepared, wrapped, objective, 1.0, team=team, strategy=strategy)
    prepared.train()
    return Built(trained.model, optimizer, stepper, objective)


def windows() -> list[Window]:
    """Uneven: lengths, target counts, and a last micro-batch that one process has to sit out."""
    draw = torch.Generator().manual_seed(0)
    found = []
    for _ in range(STEPS):
        rows = Rows()
        for length in torch.randint(4, 40, (9,), generator=draw).tolist():
            ids = torch.randint(3, 300, (length,), generator=draw).numpy()
            rows.add(Encoded(ids, torch.rand(length, generator=draw).numpy() < 0.6))
        found.append(make_window(rows.rows, 2, 0))
    return found


def gradients(built: Built, window: Window) -> dict[str, torch.Tensor]:
    built.optimizer.zero_grad()
    built.stepper.accumulate(window)
    found = {n: trained_state.on_host(p.grad) for n, p in trained_state.trained(built.model)}
    built.optimizer.zero_grad()
    return found


def train(built: Built) -> list[tuple[float, float]]:
    steps = (built.stepper.step(window, 1e-2) for window in windows())
    return [(s.loss, s.grad_norm) for s in steps if s is not None]


def close(got: list[tuple[float, float]], wanted: list[tuple[float, float]]) -> None:
    for step, (g, w) in enumerate(zip(got, wanted, strict=True), 1):
        for a, b in zip(g, w, strict=True):
            assert abs(a - b) <= REL * abs(b), f"step {step}: {g} instead of {w}"


def check(
    folder: Path, seat: Seat, arch: str, strategy: str, *, fast: bool = False, **values: Any
) -> None:
    alone = build(spec_of(folder, arch, {}, **values), Team())
    born = trained_state.weight_tensors(alone.model)
    wanted = train(alone)
    parallel = {"strategy": strategy, "nproc_per_node": seat.world_size}
    spec = spec_of(folder, arch, parallel, **values)
    split = spec.parallel.data_ranks > 1
    team = TestTeam(seat, data_split=split, in_step=strategy != "ddp")
    built = build(spec, team, fast=fast)
    trained_state.load_weights(built.model, born)  # a sliced adapter draws other numbers at birth
    first, second = (gradients(built, windows()[0]) for _ in range(2))
    for name, grad in first.items():
        assert torch.equal(grad, second[name]), f"a second pass differs in {name}"
    close(train(built), wanted)
    tensors = trained_state.weight_tensors(built.model)
    for name, mine in tensors.items():
        theirs = mine.clone()
        dist.broadcast(theirs, src=0)
        assert torch.equal(mine, theirs), f"{name} differs between processes"
    go_back_and_forth(built, tensors)
    built.model.eval()
    with torch.no_grad():
        logits = built.model(input_ids=torch.arange(3, 35)[None], use_cache=False).logits
    if seat.rank == 0:
        saved = folder / f"{arch}-{strategy}"
        saved.mkdir(exist_ok=True)
        checkpoint.save_weights(built.model, tensors, saved)
        torch.save(logits, saved / "logits.pt")


def go_back_and_forth(built: Built, tensors: dict[str, torch.Tensor]) -> None:
    """What a checkpoint holds is whole, and comes back into the parts."""
    from workers.train.checkpoint import TrainerState, collect, put_back

    contents = collect(built.model, built.optimizer, TrainerState())
    before = built.stepper.step(windows()[0], 1e-2)
    put_back(contents, built.model, built.optimizer)
    for name, tensor in trained_state.weight_tensors(built.model).items():
        assert torch.equal(tensor, tensors[name]), f"{name} did not come back"
    after = built.stepper.step(windows()[0], 1e-2)
    assert before == after
    put_back(contents, built.model, built.optimizer)


@contextmanager
def joined(seat: Seat, folder: Path) -> Iterator[None]:
    store = dist.FileStore(str(folder / "store"), seat.world_size)
    dist.init_process_group("gloo", store=store, rank=seat.rank, world_size=seat.world_size)
    yield
    dist.destroy_process_group()


def main(folder: Path, cases: list[dict[str, Any]]) -> None:
    torch.set_num_threads(1)
    seat = Seat.taken()
    assert seat is not None
    with hidden(), joined(seat, folder):
        for case in cases:
            check(folder, seat, **case)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
