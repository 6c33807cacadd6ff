"""A row as pieces of text that can be colored token by token."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from core.runlog.preview import PreviewPiece
from workers.train.encoding import Encoded

_TORN = "\ufffd"
"""What decoding gives for a part of a character."""
_MOST_PARTS = 8
"""Tokens that make one character; a row that is really damaged must not be decoded as one."""


def show(tokenizer: Any, row: Encoded) -> list[PreviewPiece]:
    """The row's pieces: stretches that receive loss, and stretches that do not."""
    ids = row.ids.tolist()
    texts = token_texts(tokenizer, ids)
    special = set(tokenizer.all_special_ids)
    tokens = zip(row.targets.tolist(), ids, texts, strict=True)
    pieces = []
    for trained, group in groupby(tokens, key=lambda token: token[0]):
        _, own_ids, own_texts = zip(*group, strict=True)
        pieces.append(
            PreviewPiece(
                text="".join(own_texts),
                trained=trained,
                ids=list(own_ids),
                tokens=list(own_texts),
                special=[token in special for token in own_ids],
            )
        )
    return pieces


def token_texts(tokenizer: Any, ids: list[int]) -> list[str]:
    """The text that each id adds to the row. A character that several ids make up stands at the
    first of them.
    """
    texts = [""] * len(ids)
    before: list[int] = []
    at = 0
    while at < len(ids):
        # The token before shows whether this one brings a space: SentencePiece drops a first one.
        known = len(_text(tokenizer, before))
        for end in range(at + 1, min(at + _MOST_PARTS, len(ids)) + 1):
            added = _text(tokenizer, before + ids[at:end])[known:]
            if not added.endswith(_TORN):
                break
        texts[at] = added
        before, at = ids[at:end], end
    return texts


def _text(tokenizer: Any, ids: list[int]) -> str:
    if not ids:
        return ""
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
