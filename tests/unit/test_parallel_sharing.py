"""Which micro-batches are whose: pure functions, no process is started."""

from __future__ import annotations

import pytest
import torch

from core.config.parallel import ParallelSpec
from workers.harness.team import Team
from workers.train.parallel.gradients import clip
from workers.train.parallel.seat import Seat, hidden, shown
from workers.train.parallel.sharing import own_share, stir


def team(rank: int, size: int, *, in_step: bool = False) -> Team:
    made = Team()
    made.data_rank, made.data_size, made.in_step = rank, size, in_step
    return made


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
def test_every_micro_batch_is_somebodys_and_nobodys_twice(size: int) -> None:
    batches = list(range(7))
    shares = [list(own_share(batches, team(rank, size))) for rank in range(size)]
    assert sorted(b for share in shares for b, counts in share if counts) == batches
    assert all(counts for share in shares for _, counts in share)
    assert shares[0][0] == (0, True), "the longest is the main process's"


@pytest.mark.parametrize("size", [2, 3, 8])
def test_where_all_pass_together_all_make_as_many_passes(size: int) -> None:
    batches = list(range(7))
    shares = [list(own_share(batches, team(rank, size, in_step=True))) for rank in range(size)]
    assert len({len(share) for share in shares}) == 1
    assert sorted(b for share in shares for b, counts in share if counts) == batches


def drawn(step: int, who: Team) -> list[float]:
    torch.manual_seed(0)
    stir(3, step, who)
    return torch.rand(4).tolist()


def test_each_process_has_its_own_dropout_which_follows_from_seed_and_step() -> None:
    assert drawn(5, team(1, 4)) == drawn(5, team(1, 4))
    different = [drawn(5, team(r, 4)) for r in range(4)] + [drawn(6, team(1, 4))]
    assert len({tuple(d) for d in different}) == 5
    of_main = drawn(5, team(0, 4))
    torch.manual_seed(0)
    assert of_main == torch.rand(4).tolist(), "the main one draws as when alone"


def test_clipping_scales_to_the_norm_over_all_weights() -> None:
    weights = [torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(2, 2))]
    weights[0].grad, weights[1].grad = torch.full((3,), 2.0), torch.full((2, 2), 1.0)
    assert clip(weights, 1.0).item() == pytest.approx(4.0)
    norms = torch.stack([w.grad.norm() for w in weights if w.grad is not None])
    assert norms.norm().item() == pytest.approx(1.0, rel=1e-5)


def test_torchruns_variables_are_a_seat_and_libraries_do_not_see_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Seat.taken() is None
    named = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "MASTER_PORT": "1234"}
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    seat = Seat.taken()
    assert seat is not None
    assert (seat.rank, seat.world_size, seat.port, seat.ours) == (3, 4, 1234, False)
    assert [seat.device(d) for d in ("auto", "cuda", "cpu")] == ["cuda:1", "cuda:1", "cpu"]
    with hidden():
        assert Seat.taken() is None
        with shown(3, 4):
            again = Seat.taken()
            assert again is not None
            assert (again.rank, again.local_rank) == (3, 0), "each sees one card only"
        assert Seat.taken() is None
    assert Seat.taken() == seat


def test_slices_of_one_model_do_not_multiply_the_samples_of_a_step() -> None:
    assert ParallelSpec(strategy="fsdp2", nproc_per_node=2).data_ranks == 2
    assert ParallelSpec(strategy="tp", nproc_per_node=2).data_ranks == 1
