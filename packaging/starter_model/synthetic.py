"""Draw the synthetic part of the training text from the two grammars and from WordNet.

``prose`` gives paragraphs for pre-training, ``chats`` conversations as lists of turns (user first).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path

from grammar import Grammar

PROSE = {"story": 5, "prose": 6, "poem": 1}
CHATS = {
    "factqa": 9, "storyqa": 4, "smalltalk": 5, "adviceqa": 3, "mathqa": 3, "askunknown": 9,
    "wordqa": 4, "who": 3, "greet": 1, "followup": 2,
}  # fmt: skip
LEADS = {
    "en": ("Please tell me: ", "I have a question. ", "Hi! ", "Can you tell me: ", "Question: "),
    "zh": ("请问，", "我想问一下，", "你好！", "请告诉我：", "问题："),
}
SYSTEMS = (
    "You are a helpful assistant.", "Answer briefly.", "You are DeepDeck's starter model.",
    "你是一个有用的助手。", "请简短地回答。", "你是 DeepDeck 的入门模型。",
)  # fmt: skip
Turns = list[str]


def _pick(weights: dict[str, int], rng: random.Random) -> str:
    return rng.choices(list(weights), weights=list(weights.values()))[0]


def _prose_part(job: tuple[str, int, int]) -> list[str]:
    lang, count, seed = job
    grammar, rng = Grammar.load(lang), random.Random(f"prose {lang} {seed}")
    return [
        "\n".join(grammar.write(_pick(PROSE, rng), rng) for _ in range(rng.randint(1, 4)))
        for _ in range(count)
    ]


def _vary(question: str, lang: str, rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.12:
        return rng.choice(LEADS[lang]) + question
    if draw < 0.22:
        return question.lower() if lang == "en" else question
    return question.rstrip(".?。？") if draw < 0.34 else question


def _chat_part(job: tuple[str, int, int]) -> list[Turns]:
    lang, count, seed = job
    grammar, rng = Grammar.load(lang), random.Random(f"chat {lang} {seed}")
    result = []
    for _ in range(count):
        turns = grammar.write(_pick(CHATS, rng), rng).split(" ||| ")
        turns[0] = _vary(turns[0], lang, rng)
        result.append(([rng.choice(SYSTEMS)] if rng.random() < 0.1 else [""]) + turns)
    return result


def prose(count: int, processes: int) -> Iterator[str]:
    """Yield ``count`` paragraphs a language, the same ones each time."""
    jobs = [(lang, count // 20, part) for lang in ("en", "zh") for part in range(20)]
    with Pool(processes) as pool:
        for part in pool.imap(_prose_part, jobs):
            yield from part


def chats(count: int, processes: int) -> Iterator[Turns]:
    """Yield ``count`` conversations a language; the first turn is the system's, often empty."""
    jobs = [(lang, count // 20, part) for lang in ("en", "zh") for part in range(20)]
    with Pool(processes) as pool:
        for part in pool.imap(_chat_part, jobs):
            yield from part


def definitions(wordnet: Path, seed: int = 1) -> Iterator[Turns]:
    """Yield questions on the meaning of common words with the gloss of their first sense."""
    rng = random.Random(seed)
    for part, kind in (("noun", "noun"), ("verb", "verb"), ("adj", "adjective")):
        data = (wordnet / f"data.{part}").read_bytes()
        for line in (wordnet / f"index.{part}").read_text(encoding="utf-8").splitlines():
            fields = line.split()
            if line.startswith(" ") or not re.fullmatch(r"[a-z]{3,12}", fields[0]):
                continue
            known = int(fields[5 + int(fields[3])])
            offset = int(fields[6 + int(fields[3])])
            row = data[offset : data.index(b"\n", offset)].decode()
            gloss = row.partition(" | ")[2].split(";")[0].strip()
            if known >= 2 and 3 <= len(gloss.split()) <= 20 and '"' not in gloss:
                asked = rng.choice(("What does the word {} mean?", "Define the word {}."))
                answer = f"The {kind} {fields[0]} means: {gloss}."
                yield ["", asked.format(fields[0]), answer]
