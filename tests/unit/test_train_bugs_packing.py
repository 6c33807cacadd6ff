"""Packed documents do not see each other: the bug that many tools had or have.

https://github.com/huggingface/trl/issues/1230, https://github.com/huggingface/trl/issues/3067,
https://github.com/hiyouga/LlamaFactory/pull/4224
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny_models import ARCHITECTURES, build_tiny
from workers.train import attention
from workers.train.batches import IGNORED, Rows, join, make_batch, make_window
from workers.train.data_order import DataOrder
from workers.train.encoding import Encoded
from workers.train.objective import Objective
from workers.train.packing import BUFFER_SAMPLES, pack

LENGTHS = (5, 80, 17, 40, 2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {arch: build_tiny(root / arch, arch) for arch in ARCHITECTURES}


def load(folder: Path, *, dtype: str = "float32") -> Any:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    return model.train()


def documents(lengths: tuple[int, ...] = LENGTHS, untrained: int = 0) -> list[Encoded]:
    rng = np.random.default_rng(5)
    return [
        Encoded(
            rng.integers(3, 380, n).astype(np.int32),
            np.arange(n) >= untrained,
            samples=(number,),
        )
        for number, n in enumerate(lengths)
    ]


def by_hand(model: Any, rows: list[Encoded]) -> tuple[float, torch.Tensor]:
    """Loss sum and gradient of each document alone, in transformers' own words."""
    model.zero_grad()
    total = 0.0
    for row in rows:
        ids = torch.from_numpy(row.ids.astype(np.int64))[None]
        labels = torch.where(torch.from_numpy(row.trained)[None], ids, IGNORED)
        labels[:, 0] = IGNORED
        loss = model(input_ids=ids, labels=labels).loss * row.target_tokens
        loss.backward()
        total += float(loss.detach())
    return total, gradient(model)


def gradient(model: Any) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def ours(model: Any, batch: Any, *, chunked: bool) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    nll: Any = Objective(model, chunked=chunked).nll_sum(batch)
    nll.backward()
    return float(nll.detach()), gradient(model)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_packed_row_learns_what_its_documents_teach_alone(
    folders: dict[str, Path], arch: str, chunked: bool, checkpointing: bool
) -> None:
    model = load(folders[arch])
    expected, wanted = by_hand(model, documents())
    assert attention.install(model)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    batch = make_batch([join(documents())], 0, flat=True)
    assert batch.input_ids.shape == (1, sum(LENGTHS))
    found, made = ours(model, batch, chunked=chunked)
    assert found == pytest.approx(expected, rel=1e-5)
    assert (made - wanted).norm() / wanted.norm() < 1e-5


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_without_our_attention_restarting_positions_keep_documents_apart_too(
    folders: dict[str, Path], arch: str
) -> None:
    """For models that are not on our list."""
    model = load(folders[arch])
    expected, wanted = by_hand(model, documents())
    found, made = ours(model, make_batch([join(documents())], 0), chunked=True)
    assert found == pytest.approx(expected, rel=1e-5)
    assert (made - wanted).norm() / wanted.norm() < 1e-4


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_uneven_rows_without_packing_need_no_padding(folders: dict[str, Path], arch: str) -> None:
    model = load(folders[arch])
    expected, wanted = by_hand(model, documents(untrained=1))
    attention.install(model)
    batch = make_batch(documents(untrained=1), 0, flat=True)
    assert batch.tokens == sum(LENGTHS)
    found, made = ours(model, batch, chunked=True)
    assert found == pytest.approx(expected, rel=1e-5)
    assert (made - wanted).norm() / wanted.norm() < 1e-5


def test_even_rows_stay_side_by_side(folders: dict[str, Path]) -> None:
    model = load(folders["llama"])
    rows = documents((20, 20, 20))
    expected, wanted = by_hand(model, rows)
    attention.install(model)
    batch = make_batch(rows, 0, flat=True)
    assert batch.input_ids.shape == (3, 20)
    assert batch.segments is None
    found, made = ours(model, batch, chunked=True)
    assert found == pytest.approx(expected, rel=1e-5)
    assert (made - wanted).norm() / wanted.norm() < 1e-5


@pytest.mark.parametrize("arch", ["qwen2"])
def test_a_sliding_window_counts_from_each_documents_own_tokens(tmp_path: Path, arch: str) -> None:
    folder = build_tiny(
        tmp_path / arch, arch, use_sliding_window=True, sliding_window=7, max_window_layers=0
    )
    model = load(folder)
    expected, wanted = by_hand(model, documents())
    attention.install(model)
    found, made = ours(model, make_batch([join(documents())], 0), chunked=True)
    assert found == pytest.approx(expected, rel=1e-5)
    assert (made - wanted).norm() / wanted.norm() < 1e-5


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_generation_is_the_same_with_our_attention(folders: dict[str, Path], arch: str) -> None:
    model = load(folders[arch]).eval()
    prompt = torch.tensor([[1, 40, 50, 60]])
    settings_ = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    before = model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings_)
    attention.install(model)
    after = model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings_)
    assert torch.equal(before, after)


def test_our_attention_is_not_written_into_a_saved_model(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    model = load(folders["llama"])
    attention.install(model)
    model.save_pretrained(tmp_path)
    assert attention.NAME not in (tmp_path / "config.json").read_text("utf-8")


def test_the_first_token_of_a_packed_document_is_no_target() -> None:
    row = join(documents((3, 4)))
    assert row.trained.all()
    batch = make_batch([row], 0)
    assert batch.targets.tolist() == [[*row.ids[1:3].tolist(), *row.ids[4:7].tolist()]]
    assert batch.positions.tolist() == [0, 1, 3, 4, 5]
    assert batch.position_ids is not None
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 1, 2, 3]]
    assert batch.owners.tolist() == [[0, 0, 1, 1, 1]]
    assert row.target_tokens == 5


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_each_samples_own_loss_is_told(
    folders: dict[str, Path], layout: str, chunked: bool
) -> None:
    model = load(folders["llama"]).eval()
    rows = documents((9, 30, 21), untrained=4)
    alone = [by_hand(model, [row])[0] for row in rows]
    attention.install(model)
    batch = make_batch([join(rows)] if layout == "packed" else rows, 0)
    found = Objective(model, chunked=chunked).per_sample_nll(batch)
    assert [f.sample for f in found] == [0, 1, 2]
    assert [f.target_tokens for f in found] == [row.target_tokens for row in rows]
    assert [f.nll_sum for f in found] == pytest.approx(alone, rel=1e-4)


# The plan of rows.

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=200)


@settings(deadline=None)
@given(SIZES, st.integers(60, 100))
def test_packing_loses_no_sample_and_fills_no_row_over_its_length(
    lengths: list[int], capacity: int
) -> None:
    rows = pack(lengths, capacity)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    fills = [sum(lengths[i] for i in row) for row in rows]
    assert max(fills) <= capacity
    # Two rows that are at most half full would have been one.
    assert sum(2 * fill <= capacity for fill in fills) <= 1


@settings(deadline=None)
@given(SIZES, st.integers(0, 5), st.integers(0, 300), st.integers(1, 40))
def test_the_order_of_packed_rows_is_the_same_from_wherever_it_is_read(
    lengths: list[int], seed: int, start: int, size: int
) -> None:
    tokens = np.array(lengths)
    whole = DataOrder(len(tokens), seed, tokens, 64).window(0, start + size)
    assert DataOrder(len(tokens), seed, tokens, 64).window(start, size) == whole[start:]


@settings(deadline=None, max_examples=30)
@given(SIZES, st.integers(0, 20))
def test_each_epoch_of_packed_rows_shows_every_sample_once(lengths: list[int], epoch: int) -> None:
    tokens = np.array(lengths)
    order = DataOrder(len(tokens), 1, tokens, 64)
    begin = order.position_at(epoch)
    rows = order.window(begin, order.rows_in(epoch))
    assert sorted(i for row in rows for i in row) == list(range(len(tokens)))
    assert order.epoch_at(begin) == epoch
    assert order.position_at(epoch + 1) == begin + order.rows_in(epoch)


def test_packing_keeps_the_order_random_over_an_epoch() -> None:
    """The longest samples do not all come first."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 400, 4 * BUFFER_SAMPLES)
    order = DataOrder(len(tokens), 0, tokens, 512)
    rows = order.window(0, order.rows_in(0))
    means = [np.mean([tokens[i] for row in part for i in row]) for part in np.array_split(
        np.array(rows, dtype=object), 10)]  # fmt: skip
    assert max(means) / min(means) < 1.2
    assert tokens.sum() / (len(rows) * 512) > 0.97


def test_an_excluded_sample_leaves_its_row_and_nothing_moves() -> None:
    rows = Rows()
    for row in documents((9, 30, 21, 5)):
        rows.add(row)
    plan = [(0, 2), (1,), (3,)]
    assert [row.samples for row in rows.take(plan, {2, 1})] == [(0,), (3,)]
    window = make_window(rows.take(plan, {2, 1}), 2, 0)
    assert window.samples == (0, 3)
    assert window.tokens == 14
