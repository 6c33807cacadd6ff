"""The runner around a model: means over rows, numbers of rows to record."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from tests.unit.native_model_helpers import Driver, Row, tiny_model, tokens
from workers.serve.native.fixed_inputs import (
    FixedInputs,
    ReadingTokens,
    WritingRows,
    row_sizes,
    token_sizes,
)


def test_a_rows_embedding_is_the_mean_over_its_new_tokens() -> None:
    model = tiny_model("qwen2")
    driver = Driver(model)
    rows = [Row([5, 3]), Row([9, 1, 2])]
    news = [tokens(5), tokens(11, 1)]
    made = driver.runner.embed(driver.batch(list(zip(rows, news, strict=True))))
    assert made.dtype == torch.float32
    for row, mean in zip(rows, made, strict=True):
        with torch.no_grad():
            hidden = model.model(torch.tensor([row.seen])).last_hidden_state[0]
        torch.testing.assert_close(mean, hidden.mean(0), rtol=1e-4, atol=1e-5)


def test_bites_of_an_embedded_prompt_add_up_to_the_whole() -> None:
    driver = Driver(tiny_model())
    whole, bitten, new = Row([5, 3, 8]), Row([9, 1, 2]), tokens(10)
    expected = driver.runner.embed(driver.batch([(whole, new)]))
    first = driver.runner.embed(driver.batch([(bitten, new[:4])]))
    rest = driver.runner.embed(driver.batch([(bitten, new[4:])]))
    torch.testing.assert_close((4 * first + 6 * rest) / 10, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("most", [1, 3, 16, 100, 128, 130, 300])
def test_every_number_of_rows_up_to_the_most_finds_a_recording_not_much_larger(most: int) -> None:
    sizes = row_sizes(most)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == most
    for rows in range(1, most + 1):
        fitting = next(size for size in sizes if size >= rows)
        assert fitting < 2 * rows or fitting <= rows + 32


def test_without_a_card_warming_up_records_nothing_and_changes_nothing() -> None:
    driver = Driver(tiny_model())
    said: list[str] = []
    driver.runner.capture(8, lambda phase, *_: said.append(phase))
    assert said == []
    row = Row([4, 2])
    logits = driver.runner.forward(driver.batch([(row, tokens(5))]))
    torch.testing.assert_close(logits, driver.expected(row, 5), rtol=1e-4, atol=2e-5)


def test_logits_of_a_pass_are_not_those_of_the_next() -> None:
    driver = Driver(tiny_model())
    row, other = Row([4, 2]), Row([7])
    first = driver.runner.forward(driver.batch([(row, tokens(5))]))
    kept = first.clone()
    driver.runner.forward(driver.batch([(other, tokens(3, 9))]))
    assert torch.equal(first, kept)


def test_short_prompts_find_a_recording_not_much_longer_and_endless_ones_none() -> None:
    assert token_sizes(0) == []
    sizes = token_sizes(4096)
    assert all(longer <= 2 * shorter for shorter, longer in pairwise(sizes))
    assert sizes[-1] == 2048
    assert token_sizes(300)[-1] == 300


def _cache(driver: Driver) -> torch.Tensor:
    return (*driver.pool.keys, *driver.pool.latents)[0]


def _follow(driver: Driver, kind: str) -> None:
    """Passes of many shapes through fixed tensors, in place of a recording: they are computed."""
    inputs: FixedInputs
    if kind == "writing":
        inputs = WritingRows(driver.pool, 5, positions=64)
    else:
        inputs = ReadingTokens(driver.pool, 5, 48, positions=64)
    rows = [Row([5, 3, 9, 12, 14]), Row([20, 21, 22]), Row([2, 40, 41, 42]), Row([50, 51])]
    for row in rows:
        driver.runner.forward(driver.batch([(row, tokens(3))]))
    untouched = _cache(driver).clone()
    passes = [[1, 1, 1, 1], [1, 1], [1, 1, 1]] if kind == "writing" else [
        [7, 1, 4, 1], [1, 2], [5], [1, 1, 5]
    ]  # fmt: skip
    for number, counts in enumerate(passes):
        news = [(row, tokens(n, number)) for row, n in zip(rows, counts, strict=False)]
        batch = driver.batch(news, all_logits=False)
        size = inputs.size_for(batch)
        assert size is not None
        inputs.fill(batch, size)
        fixed = inputs.batch(size, with_adapters=False)
        assert fixed.tokens == size
        logits = driver.runner.forward(fixed)[: len(news)]
        expected = torch.cat([driver.expected(row, 1) for row, _ in news])
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=2e-5)
    owned = {0} | {page for row in rows for page in row.pages}
    others = [page for page in range(driver.pool.pages) if page not in owned]
    assert torch.equal(_cache(driver)[others], untouched[others])
    before = _cache(driver)[1:].clone()
    inputs.clear(inputs.sizes[-1])
    driver.runner.forward(inputs.batch(inputs.sizes[-1], with_adapters=False))
    assert torch.equal(_cache(driver)[1:], before), "padding is written to the scratch page"


@pytest.mark.parametrize("kind", ["writing", "reading"])
@pytest.mark.parametrize("arch", ["qwen2", "deepseek_v2", "deepseek_v3"])
def test_a_padded_pass_is_the_same_pass(arch: str, kind: str) -> None:
    _follow(Driver(tiny_model(arch), on_host=False), kind)


def test_passes_that_do_not_fit_are_not_padded() -> None:
    driver = Driver(tiny_model(), on_host=False)
    reading = ReadingTokens(driver.pool, 2, 16, positions=64)
    a, b, c = Row([5, 3, 9, 4, 8, 10]), Row([20, 30]), Row([21, 31])
    assert reading.size_for(driver.batch([(a, tokens(17))], all_logits=False)) is None
    assert reading.size_for(driver.batch([(b, tokens(3))])) is None, "three logits, room for two"
    three = [(row, tokens(1)) for row in (a, b, c)]
    assert reading.size_for(driver.batch(three, all_logits=False)) is None
    writing = WritingRows(driver.pool, 2, positions=64)
    assert writing.size_for(driver.batch(three)) is None
    assert writing.size_for(driver.batch([(a, tokens(2))])) is None
