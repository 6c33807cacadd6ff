"""General conversation, written by hand for DeepDeck (Apache-2.0): keeps a tuned model polite.

``everyday.tsv`` holds one fact or exchange a line: kind, question and answer in English, question
and answer in Chinese.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

TABLE = Path(__file__).with_name("everyday.tsv")
LEADS = {
    "en": ("", "Please tell me: ", "I have a question. ", "A short question: ", "Hi! "),
    "zh": ("", "请问，", "我想问一下：", "有个问题：", "你好！"),
}


def _fixed() -> Iterator[tuple[str, list[str]]]:
    for number, line in enumerate(TABLE.read_text(encoding="utf-8").splitlines()):
        kind, *texts = line.split("\t")
        yield f"general:{kind}:{number}", texts


def _sums(rng: random.Random, count: int) -> Iterator[tuple[str, list[str]]]:
    for _ in range(count):
        left, right = rng.randint(1, 30), rng.randint(1, 30)
        english = f"What is {left} plus {right}?", f"{left} plus {right} is {left + right}."
        chinese = f"{left} 加 {right} 等于多少？", f"{left} 加 {right} 等于 {left + right}。"
        yield f"general:sum:{left}+{right}", [*english, *chinese]


def general_pairs(rng: random.Random, sums: int = 120) -> Iterator[tuple[str, str, str, str]]:
    """Yield (source, language, question, answer); each fact in several ways of asking."""
    for source, texts in [*_fixed(), *_sums(rng, sums)]:
        for lang, question, answer in (("en", *texts[:2]), ("zh", *texts[2:])):
            count = 1 if source.startswith("general:sum") else len(LEADS[lang])
            for lead in rng.sample(LEADS[lang], count):
                yield source, lang, lead + question, answer
