"""The runner around a model: means over rows, numbers of rows to record."""

from __future__ import annotations

import pytest
import torch

from tests.unit.native_model_helpers import Driver, Row, tiny_model, tokens
from workers.serve.native.graphs import buckets


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
    sizes = buckets(most)
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
