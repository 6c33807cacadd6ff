"""From samples to token ids, each with a flag whether it is trained.

Which tokens are trained is known from where they come from, never from their id: a padding token
that is also the end token would otherwise untrain the end of every answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets import Sample
from workers.train.chat import ChatRenderer, Row


@dataclass(frozen=True)
class Encoded:
    """One row of tokens: a sample, or several documents that do not see each other."""

    ids: NDArray[np.int32]
    trained: NDArray[np.bool_]
    """Same shape."""
    starts: tuple[int, ...] = (0,)
    """Where its documents begin, the first at 0."""
    samples: tuple[int, ...] = (-1,)
    """Training sample number of each document; filled by `Rows`."""

    @property
    def targets(self) -> NDArray[np.bool_]:
        """Tokens that receive loss: the trained ones, without the first of each document, which
        follows nothing.
        """
        wanted = self.trained.copy()
        if len(wanted):
            wanted[list(self.starts)] = False
        return wanted

    @property
    def target_tokens(self) -> int:
        """Positions that receive loss."""
        return int(self.targets.sum())

    def __len__(self) -> int:
        return len(self.ids)


class Encoder:
    """Encodes samples as serving would show them to the model.

    Chat text is rendered first and then encoded without special tokens: the template has put its
    BOS there already. Plain text gets what the tokenizer adds by itself, and an end token.
    """

    def __init__(self, tokenizer: Any, max_length_tokens: int) -> None:
        self._tokenizer = tokenizer
        self.max_length_tokens = max_length_tokens
        self._chat = ChatRenderer(tokenizer)
        self._joins = _pieces_join(tokenizer)

    def encode(self, sample: Sample) -> list[Encoded]:
        """The rows of one sample, cut to the limit. A row may have no target left: drop it."""
        if not sample.messages:
            return [self._cut(*self._plain(sample.text))]
        return [self._cut(*self._by_pieces(row)) for row in self._chat.rows(sample.messages)]

    def prompt_ids(self, prompt: str) -> list[int]:
        """A user's question as the model sees it when it is to answer."""
        from core.datasets import Message

        text = self._chat.render((Message("user", prompt),), ask=True)
        return self._ids(text)

    def _plain(self, text: str) -> tuple[list[int], list[bool]]:
        ids = list(self._tokenizer.encode(text))
        eos = self._tokenizer.eos_token_id
        if eos is not None and (not ids or ids[-1] != eos):
            ids.append(eos)
        return ids, [True] * len(ids)

    def _by_pieces(self, row: Row) -> tuple[list[int], list[bool]]:
        if not self._joins:
            return self._by_offsets(row)
        ids: list[int] = []
        trained: list[bool] = []
        for piece in row:
            new = self._ids(piece.text)
            ids += new
            trained += [piece.trained] * len(new)
        return ids, trained

    def _by_offsets(self, row: Row) -> tuple[list[int], list[bool]]:
        """For tokenizers that mark a word's start on the first token (SentencePiece's way).

        A token that begins with the prompt's last space belongs to the word it begins.
        """
        text = "".join(piece.text for piece in row)
        found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        spans, at = [], 0
        for piece in row:
            if piece.trained:
                spans.append((at, at + len(piece.text)))
            at += len(piece.text)
        trained = [
            any(start < b and a < end for a, b in spans) for start, end in found["offset_mapping"]
        ]
        return list(found["input_ids"]), trained

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _cut(self, ids: list[int], trained: list[bool]) -> Encoded:
        return Encoded(
            np.asarray(ids[: self.max_length_tokens], np.int32),
            np.asarray(trained[: self.max_length_tokens], np.bool_),
        )


def _pieces_join(tokenizer: Any) -> bool:
    """Whether encoding two pieces apart gives what encoding them together would read as."""
    if not tokenizer.is_fast:
        return True
    first, second = "ab: ", "cd ef"
    ids = [*tokenizer.encode(first, add_special_tokens=False)]
    ids += tokenizer.encode(second, add_special_tokens=False)
    return str(tokenizer.decode(ids)) == first + second
