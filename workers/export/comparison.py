"""How far two models are apart: the Kullback-Leibler divergence of their next-token distributions
on fixed rows of tokens, in nats a token, and how often they would say the same word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from core.datasets import Dataset, Sample, open_dataset, read_samples
from core.errors import AppError

ROW_TOKENS = 64
PROMPTS = (
    "Explain in two sentences why the sky is blue.",
    "Write a Python function that returns the n-th Fibonacci number.",
    "A train leaves at 9:40 and arrives at 12:05. How long does it travel?",
    "List three advantages and three disadvantages of working from home.",
    "请用两句话解释为什么天空是蓝色的。",
    "写一个返回第 n 个斐波那契数的 Python 函数。",
    "一列火车 9:40 出发，12:05 到达，行驶了多长时间？",
    "请列出在家办公的三个优点和三个缺点。",
)
"""Asked of every model, so that exports can be compared with each other."""


@dataclass(frozen=True)
class Difference:
    """Between what was trained and what was merged."""

    kl: float
    """Mean over all tokens, in nats."""
    top1: float
    """Share of tokens where both find the same next token likeliest, 0 to 1."""
    tokens: int


def make_rows(tokenizer: Any, data: str, count: int) -> list[torch.Tensor]:
    """Token ids (1, up to 64) of the prompts and of up to `count` rows of the data.

    Data that cannot be read any more leave the prompts.
    """
    samples = [Sample(text=prompt) for prompt in PROMPTS]
    samples += list(islice(_samples(data), count)) if data else []
    texts = [_text(tokenizer, sample) for sample in samples]
    rows = [tokenizer(t, add_special_tokens=True)["input_ids"][:ROW_TOKENS] for t in texts]
    return [torch.tensor([row]) for row in rows if len(row) > 1]


@torch.no_grad()
def log_probabilities(
    model: Any, rows: list[torch.Tensor], tell: Callable[[float], None] = lambda _fraction: None
) -> list[torch.Tensor]:
    """fp32 (tokens, vocabulary) of each row, on the CPU."""
    model.eval()
    device = model.get_input_embeddings().weight.device
    found = []
    for number, row in enumerate(rows):
        logits = model(input_ids=row.to(device), use_cache=False).logits[0]
        found.append(torch.log_softmax(logits.float(), dim=-1).cpu())
        tell((number + 1) / len(rows))
    return found


def compare(trained: list[torch.Tensor], merged: list[torch.Tensor]) -> Difference:
    """KL(trained || merged), both as `log_probabilities` returned them."""
    kl, same, tokens = 0.0, 0, 0
    for p, q in zip(trained, merged, strict=True):
        kl += float((p.exp() * (p - q)).sum(dtype=torch.float64))
        same += int((p.argmax(-1) == q.argmax(-1)).sum())
        tokens += len(p)
    return Difference(max(0.0, kl / tokens), same / tokens, tokens)


def _samples(data: str) -> Iterator[Sample]:
    """Rows for evaluation first."""
    try:
        yield from _read(open_dataset(Path(data)))
    except (AppError, OSError):
        return


def _read(dataset: Dataset) -> Iterator[Sample]:
    files = [file for split in dataset.evals.values() for file in split]
    for file in (*files, *dataset.train):
        yield from read_samples(file)


def _text(tokenizer: Any, sample: Sample) -> str:
    if sample.text:
        return sample.text
    return "\n\n".join(message.content for message in sample.messages)
