"""Tokens from logits: the right distribution, each row's own, whoever else is in the batch."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch

from workers.serve.engines import sampling as plain
from workers.serve.engines.base import SamplingParams
from workers.serve.native.sampling import seeds
from workers.serve.native.sampling.filters import SHORT_LIST, Limits, floors
from workers.serve.native.sampling.logprobs import HostLogprobs, prompt_logprobs
from workers.serve.native.sampling.sampler import Sampler, allowed, pick

VOCABULARY = 40
GREEDY = SamplingParams(max_new_tokens=8, temperature=0.0)
WARM = SamplingParams(max_new_tokens=8, temperature=1.0)


def random_logits(rows: int, vocabulary: int = VOCABULARY, seed: int = 0) -> torch.Tensor:
    return 2.0 * torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed))


def draw(params: SamplingParams, logits: torch.Tensor, times: int, **join: object) -> list[int]:
    """`times` tokens of one row whose logits stay the same."""
    sampler = Sampler(logits.shape[-1], 1, "cpu")
    sampler.join(0, params, [], **({"seed": 7} | join))
    slots = torch.tensor([0])
    return [int(sampler.sample(logits[None], slots).tokens) for _ in range(times)]


def draw_many(params: SamplingParams, logits: torch.Tensor, rows: int, times: int) -> list[int]:
    """`times` tokens of each of `rows` rows with seeds of their own and equal logits."""
    sampler = Sampler(logits.shape[-1], rows, "cpu")
    for slot in range(rows):
        sampler.join(slot, params, [], seed=seeds.seed_of(str(slot)))
    many, slots = logits.expand(rows, -1), torch.arange(rows)
    return torch.cat([sampler.sample(many, slots).tokens for _ in range(times)]).tolist()


def expected_probabilities(logits: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """By transformers' own warpers, in their order."""
    from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    scores = logits[None] / params.temperature
    if params.top_k:
        scores = TopKLogitsWarper(params.top_k)(None, scores)
    if params.top_p < 1:
        scores = TopPLogitsWarper(params.top_p)(None, scores)
    if params.min_p:
        scores = MinPLogitsWarper(params.min_p)(None, scores)
    return scores.softmax(dim=-1)[0]


FILTERS = [
    WARM,
    replace(WARM, temperature=0.6),
    replace(WARM, top_k=5),
    replace(WARM, top_p=0.8),
    replace(WARM, min_p=0.2),
    replace(WARM, temperature=1.4, top_k=12, top_p=0.9, min_p=0.05),
]


@pytest.mark.parametrize("params", FILTERS)
def test_tokens_come_as_often_as_transformers_says(params: SamplingParams) -> None:
    logits, times = random_logits(1)[0], 200 * 40
    expected = expected_probabilities(logits, params)
    found = torch.zeros(VOCABULARY)
    for token, count in Counter(draw_many(params, logits, 200, 40)).items():
        found[token] = count
    assert found[expected == 0].sum() == 0
    # Cells of fewer than 5 expected draws are put together, as the test needs it.
    common = expected * times >= 5
    observed = torch.cat([found[common], found[~common].sum()[None]])
    wanted = times * torch.cat([expected[common], expected[~common].sum()[None]])
    chi_square = float(((observed - wanted) ** 2 / wanted.clamp(min=1e-9))[wanted > 0].sum())
    freedom = int((wanted > 0).sum()) - 1
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom) + 4


def kept(logits: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    weights = ((logits - logits.amax(-1, keepdim=True)) / params.temperature).exp()
    rows = logits.shape[0]
    limits = Limits(
        torch.full((rows, 1), params.top_k),
        torch.full((rows, 1), params.top_p),
        torch.full((rows, 1), params.min_p),
    )
    return (weights >= floors(weights, limits)) & (weights > 0)


@pytest.mark.parametrize("params", FILTERS[1:])
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_the_same_tokens_stay_as_with_transformers(params: SamplingParams, scale: float) -> None:
    logits = scale * random_logits(16, 3 * SHORT_LIST, seed=3)
    expected = torch.stack([expected_probabilities(row, params) > 0 for row in logits])
    differing = (kept(logits, params) != expected).sum(dim=-1)
    # The sum of a nucleus is rounded in another order: at most its last token may differ.
    assert int(differing.max()) <= 1
    assert int((differing > 0).sum()) <= 2


@pytest.mark.parametrize("top_k", [SHORT_LIST - 1, SHORT_LIST, SHORT_LIST + 1, 2 * SHORT_LIST])
def test_a_long_list_of_the_best_is_counted_exactly(top_k: int) -> None:
    logits = random_logits(2, 3 * SHORT_LIST)
    assert kept(logits, replace(WARM, top_k=top_k)).sum(dim=-1).tolist() == [top_k, top_k]


def test_a_nucleus_over_a_long_list_of_the_best_counts_all_of_the_list() -> None:
    params = replace(WARM, top_k=2 * SHORT_LIST, top_p=0.5)
    logits = 0.1 * random_logits(1, 4 * SHORT_LIST)
    expected = (expected_probabilities(logits[0], params) > 0).sum()
    assert abs(int(kept(logits, params).sum()) - int(expected)) <= 1


def test_equal_probabilities_are_kept_together() -> None:
    logits = torch.tensor([[1.0, 3.0, 1.0, 0.0]])
    assert kept(logits, replace(WARM, top_k=2)).tolist() == [[True, True, True, False]]


def test_greedy_takes_the_most_probable_token_of_every_row() -> None:
    logits = random_logits(5).bfloat16()
    sampler = Sampler(VOCABULARY, 5, "cpu")
    for slot in range(5):
        sampler.join(slot, GREEDY, [])
    tokens = sampler.sample(logits, torch.arange(5)).tokens
    assert tokens.tolist() == logits.float().argmax(dim=-1).tolist()


def mixed_rows() -> list[SamplingParams]:
    return [
        replace(WARM, seed="a"),
        GREEDY,
        replace(WARM, seed="b", top_p=0.7),
        replace(WARM, seed="c", repetition_penalty=1.5, frequency_penalty=0.5),
        replace(WARM, seed="d", logit_bias=((3, 4.0), (9, -100.0))),
        replace(GREEDY, presence_penalty=1.0),
        replace(WARM, seed="e", top_k=7, min_p=0.01),
    ]


def answers(
    rows: dict[int, SamplingParams], steps: int, slots: list[int], device: str = "cpu"
) -> dict[int, list[int]]:
    """Row number to its tokens; row i's logits at step t are the same in every batch."""
    place = dict(zip(rows, slots, strict=True))
    sampler = Sampler(VOCABULARY, 16, device)
    for number, params in rows.items():
        sampler.join(place[number], params, [1, 2, number])
    found: dict[int, list[int]] = {number: [] for number in rows}
    places = torch.tensor([place[n] for n in rows], device=device)
    for step in range(steps):
        logits = torch.stack([random_logits(1, seed=1000 * n + step)[0] for n in rows])
        tokens = sampler.sample(logits.to(device), places).tokens
        for number, token in zip(rows, tokens.tolist(), strict=True):
            found[number].append(token)
    return found


def test_a_row_answers_the_same_alone_and_among_others_in_any_slot() -> None:
    rows = dict(enumerate(mixed_rows()))
    together = answers(rows, 12, [3, 0, 9, 1, 15, 4, 7])
    for number, params in rows.items():
        assert answers({number: params}, 12, [number]) == {number: together[number]}


def test_a_row_that_comes_back_goes_on_as_it_would_have() -> None:
    params = replace(WARM, seed="x", top_p=0.9, presence_penalty=0.7, repetition_penalty=1.2)
    logits = random_logits(1)[0]
    whole = draw(params, logits, 20, seed=None)
    assert draw(params, logits, 12, seed=None, produced=whole[:8]) == whole[8:]


def test_equal_seeds_agree_and_others_do_not() -> None:
    logits = torch.zeros(VOCABULARY)
    texts = ["1", "2", "1:1", "1"]
    one, two, three, again = (draw(replace(WARM, seed=t), logits, 30, seed=None) for t in texts)
    assert one == again
    assert one != two
    assert one != three
    without = [draw(WARM, logits, 30, seed=None) for _ in range(2)]
    assert without[0] != without[1]


def test_the_random_numbers_are_even_and_unrelated() -> None:
    grid = torch.arange(256)
    numbers = seeds.uniform(grid.repeat_interleave(256), grid.repeat(256)).view(256, 256).double()
    assert float(numbers.min()) >= 0
    assert float(numbers.max()) < 1
    cells = torch.histc(numbers.flatten(), 64, 0, 1)
    assert float(((cells - 1024) ** 2 / 1024).sum()) < 63 + 5 * math.sqrt(126)
    # Neither next seeds nor next positions go together.
    for a, b in ((numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1])):
        related = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
        assert abs(float(related)) < 5 / math.sqrt(a.numel())


def test_penalties_and_biases_are_those_of_the_plain_sampler() -> None:
    params = SamplingParams(
        max_new_tokens=9, temperature=0.0, repetition_penalty=1.3, presence_penalty=0.4,
        frequency_penalty=0.3, logit_bias=((5, 3.0), (6, -3.0)), logprobs=3,
    )  # fmt: skip
    prompt = [1, 4, 4, 7]
    old = plain.RowSampler(params, prompt)
    sampler = Sampler(VOCABULARY, 2, "cpu")
    sampler.join(1, params, prompt)
    for step in range(30):
        logits = 0.3 * random_logits(1, seed=step)
        (expected,), (report,) = plain.choose(logits, [old])
        sampled = sampler.sample(logits, torch.tensor([1]))
        assert sampled.tokens.tolist() == [expected]
        assert sampled.logprobs is not None
        assert report is not None
        mine = HostLogprobs.of(sampled.logprobs).row(0, 3)
        assert mine.chosen == pytest.approx(report.chosen, abs=1e-6)
        assert [t for t, _ in mine.top] == [t for t, _ in report.top]


def test_the_next_row_of_a_slot_inherits_nothing() -> None:
    sampler = Sampler(VOCABULARY, 2, "cpu")
    slot = torch.tensor([1])
    heavy = replace(GREEDY, frequency_penalty=2.0, logit_bias=((3, 100.0),), logprobs=2)
    sampler.join(1, heavy, [1, 2])
    logits = random_logits(1)
    for _ in range(3):
        sampler.sample(logits, slot)
    sampler.leave(1)
    # Another row keeps penalties and biases switched on for the batch.
    sampler.join(0, replace(heavy, logit_bias=((4, 1.0),)), [5])
    sampler.join(1, GREEDY, [])
    sampled = sampler.sample(torch.cat([logits, logits]), torch.tensor([0, 1]))
    assert int(sampled.tokens[1]) == int(logits.argmax())
    sampler.leave(0)
    sampler.join(1, replace(GREEDY, presence_penalty=2.0), [])
    assert int(sampler.sample(logits, slot).tokens) == int(logits.argmax())


def test_a_row_may_leave_outside_of_a_step() -> None:
    """A cancelled one does; steps and what they make are in inference mode."""
    params = replace(WARM, frequency_penalty=1.0, logit_bias=((1, 1.0),))
    with torch.inference_mode():
        sampler = Sampler(VOCABULARY, 2, "cpu")
        sampler.join(0, params, [1])
    sampler.leave(0)
    sampler.join(0, params, [1])
    assert sampler.sample(random_logits(1), torch.tensor([0])).tokens.shape == (1,)


def test_a_padding_row_changes_nothing() -> None:
    params = replace(WARM, seed="s", frequency_penalty=1.0)
    alone = draw(params, random_logits(1)[0], 10, seed=None)
    sampler = Sampler(VOCABULARY, 3, "cpu")
    sampler.join(2, params, [])
    logits = random_logits(1).repeat(2, 1)
    both = [sampler.sample(logits, torch.tensor([2, 3]), rows=[2]).tokens for _ in range(10)]
    assert [int(t[0]) for t in both] == alone


def test_a_mask_leaves_only_what_it_allows() -> None:
    words = (VOCABULARY + 31) // 32
    masks = torch.full((2, words), -1, dtype=torch.int32)
    masks[1] = 0
    masks[1, 0] = -(2**31)  # token 31: the sign bit
    masks[1, 1] = 0b100  # token 34
    assert allowed(masks, VOCABULARY).sum(dim=-1).tolist() == [VOCABULARY, 2]
    sampler = Sampler(VOCABULARY, 2, "cpu")
    sampler.join(0, GREEDY, [])
    sampler.join(1, replace(WARM, seed="m", top_p=0.99, top_k=50), [])
    logits = random_logits(2)
    found = [sampler.sample(logits, torch.arange(2), masks).tokens.tolist() for _ in range(60)]
    assert {f[0] for f in found} == {int(logits[0].argmax())}
    assert {f[1] for f in found} == {31, 34}


def test_logits_wider_than_the_mask_are_not_chosen() -> None:
    masks = torch.full((1, 1), -1, dtype=torch.int32)
    assert allowed(masks, 40)[0].tolist() == [True] * 32 + [False] * 8


def test_logprobs_are_the_models_own_and_only_made_when_wanted() -> None:
    sampler = Sampler(VOCABULARY, 2, "cpu")
    sampler.join(0, replace(GREEDY, logit_bias=((3, 100.0),), logprobs=0), [])
    sampler.join(1, GREEDY, [])
    logits = random_logits(2).bfloat16()
    sampled = sampler.sample(logits, torch.arange(2))
    expected = logits.float().log_softmax(dim=-1)
    assert sampled.tokens[0] == 3
    assert sampled.logprobs is not None
    assert float(sampled.logprobs.chosen[0]) == pytest.approx(float(expected[0, 3]), abs=1e-5)
    assert HostLogprobs.of(sampled.logprobs).row(0, 0).top == ()
    sampler.leave(0)
    assert sampler.sample(logits[1:], torch.tensor([1])).logprobs is None


def test_prompt_logprobs_do_not_depend_on_the_chunks() -> None:
    logits, tokens = random_logits(33), torch.arange(33)
    whole = prompt_logprobs(logits, tokens, 4)
    bites = prompt_logprobs(logits, tokens, 4, chunk_bytes=5 * 4 * VOCABULARY)
    for a, b in zip(whole, bites, strict=True):
        assert torch.equal(a, b)
    expected = logits.log_softmax(dim=-1)
    assert torch.allclose(whole.chosen, expected.gather(1, tokens[:, None])[:, 0], atol=1e-5)
    assert torch.equal(whole.top_tokens[:, 0], logits.argmax(dim=-1))


def test_a_draw_at_the_very_end_finds_the_last_token_that_has_a_chance() -> None:
    weights = torch.tensor([[0.5, 0.25, 0.0, 0.25, 0.0, 0.0]])
    almost_one = torch.tensor([[1.0]])
    assert pick(weights, almost_one).tolist() == [3]
    assert pick(weights, torch.tensor([[0.0]])).tolist() == [0]
    assert pick(weights, torch.tensor([[0.75]])).tolist() == [3]


def test_temperature_as_cold_as_the_guard_lets_through_is_greedy() -> None:
    logits = 10 * random_logits(1)[0]
    assert set(draw(replace(WARM, temperature=0.01), logits, 20)) == {int(logits.argmax())}
