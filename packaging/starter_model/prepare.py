"""Train the tokenizer and write all training tokens into one compressed file.

Usage: ``python prepare.py --work build/starter --target resources/models/deepdeck-starter``
reads ``real.jsonl`` (from ``corpus.py``) and writes ``tokens.npz`` below ``--work``.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from synthetic import Turns, chats, definitions, prose
from tokenizer import ASSISTANT, BOS, EOS, USER, save_tokenizer, train_tokenizer
from tokenizers import Tokenizer

Ids = npt.NDArray[np.uint16]
MAX_CHAT = 320


def read_real(work: Path) -> list[tuple[str, int]]:
    """Return (text, share) of each document of the corpus."""
    with (work / "real.jsonl").open(encoding="utf-8") as lines:
        docs = [json.loads(line) for line in lines]
    return [(doc["text"], int(doc["share"])) for doc in docs]


def tokenizer_texts(real: list[tuple[str, int]], made: list[str]) -> Iterator[str]:
    """Mix real and made text for the tokenizer: made text is repetitive, a little is enough."""
    rng = random.Random(0)
    for text, share in real:
        yield from [text] * (share if share > 2 or rng.random() < 0.5 else 0)
    yield from rng.sample(made, min(len(made), 30_000))


def encode_all(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[list[int]]:
    """Encode texts in batches."""
    source = iter(texts)
    while batch := list(islice(source, 4096)):
        for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
            yield encoding.ids


def chat_text(turns: Turns) -> str:
    """Render turns (the first is the system's) as the chat template does."""
    text = BOS + turns[0]
    for place, turn in enumerate(turns[1:]):
        text += ASSISTANT + turn + EOS if place % 2 else USER + turn
    return text


def encode_chats(tokenizer: Tokenizer, found: list[Turns]) -> tuple[Ids, npt.NDArray[np.uint32]]:
    """Return all chat tokens one after the other, and where each chat ends."""
    rows = [row for row in encode_all(tokenizer, map(chat_text, found)) if len(row) <= MAX_CHAT]
    ends = np.cumsum([len(row) for row in rows]).astype(np.uint32)
    return np.fromiter(chain.from_iterable(rows), dtype=np.uint16), ends


def encode_documents(tokenizer: Tokenizer, texts: list[str], first: int, last: int) -> Ids:
    """Return all documents in one row of tokens, each between a first and a last token."""
    rows = ([first, *ids, last] for ids in encode_all(tokenizer, texts))
    return np.fromiter(chain.from_iterable(rows), dtype=np.uint16)


def main() -> None:
    """Read, train the tokenizer, encode, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--prose", type=int, default=100_000, help="made texts a language")
    parser.add_argument("--chats", type=int, default=120_000, help="made chats a language")
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    real, made = read_real(args.work), list(prose(args.prose, args.processes))
    tokenizer = train_tokenizer(tokenizer_texts(real, made))
    save_tokenizer(tokenizer, args.target)
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    rng = random.Random(0)
    repeated = [text for text, share in real for _ in range(share)]
    rng.shuffle(repeated)
    rng.shuffle(made)
    wordnet = args.work / "unpacked" / "wordnet-base" / "usr" / "share" / "wordnet"
    found = [*chats(args.chats, args.processes), *definitions(wordnet)]
    rng.shuffle(found)
    chat_ids, chat_ends = encode_chats(tokenizer, found)
    parts = {
        "real": encode_documents(tokenizer, repeated, bos, eos),
        "made": encode_documents(tokenizer, made, bos, eos),
        "chat": chat_ids,
    }
    np.savez_compressed(args.work / "tokens.npz", chat_ends=chat_ends, **parts)
    print({name: f"{len(ids):,} tokens" for name, ids in parts.items()}, f"{len(chat_ends):,}")


if __name__ == "__main__":
    main()
