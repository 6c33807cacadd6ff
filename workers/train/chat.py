"""From a conversation to text in which it is known what the assistant says.

The rule behind everything here: what is trained after a prompt is what the model would have to
write after the very prompt that serving shows it. So the chat template is asked for the prompt
(`add_generation_prompt=True`) and for the whole turn, and the difference is the target.

Templates that break this are met as follows. R1-Distill's cuts `<think>...</think>` out of past
turns and Qwen3's moves it: then the turn's text is put together from prompt, content and the
template's own end of turn, and each turn becomes a row of its own when the rows do not nest.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any

from core.datasets import Message

FALLBACK_TEMPLATE = (
    "{% if bos_token %}{{ bos_token }}{% endif %}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ m['content'] + '\n\n' }}"
    "{% elif m['role'] == 'user' %}{{ 'User: ' + m['content'] + '\n\n' }}"
    "{% else %}{{ 'Assistant: ' + m['content'] + eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""For base models without a template: DeepSeek-LLM's. Saved with the adapter, so that serving
shows the model what training showed it."""

_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PROBE = "deepdeckprobe"
"""Stands in for an answer, to see what the template puts around one."""
_THINK, _END_THINK = "<think>", "</think>"
_THOUGHT = re.compile(rf"{_THINK}.*?(?:{_END_THINK}|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text, and whether the model is to learn to write it."""

    text: str
    trained: bool


Row = tuple[Piece, ...]


def has_markers(template: str | None) -> bool:
    """Whether the template says itself what the assistant writes."""
    return bool(template and _MARKER.search(template))


class ChatRenderer:
    """Renders conversations with a tokenizer's chat template, or with `FALLBACK_TEMPLATE`."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.is_fallback = not tokenizer.chat_template
        """The tokenizer had no template of its own."""
        if self.is_fallback:
            tokenizer.chat_template = FALLBACK_TEMPLATE
        self._special = _special_tokens(tokenizer)
        self._marked = has_markers(tokenizer.get_chat_template())

    def rows(self, messages: tuple[Message, ...], *, everything: bool = False) -> list[Row]:
        """One row where the template marks the answers or the turns nest in each other, else one
        a turn of the assistant. With `everything` each text is trained, once.
        """
        if self._marked and (row := self._marked_row(messages)):
            return [_all_trained(row) if everything else row]
        at = [i for i, message in enumerate(messages) if message.role == "assistant"]
        turns = [self._turn(messages, i) for i in at]
        if everything and not turns:
            return [(Piece(self.render(messages, ask=False), True),)]
        if rows := _nested(turns):
            return [_all_trained(row) for row in rows] if everything else rows
        if not everything:
            return [(Piece(p, False), Piece(t, True)) for p, t in turns]
        past = ["", *(self.render(messages[: i + 1], ask=False) for i in at[:-1])]
        return [_behind(known, *turn) for known, turn in zip(past, turns, strict=True)]

    def hides_thoughts(self) -> bool:
        """Whether the template deletes what was thought before an answer."""
        answer = Message("assistant", f"{_THINK}\n{_PROBE}\n{_END_THINK}\n\nx")
        return _PROBE not in self.render((Message("user", "x"), answer), ask=False)

    def render(self, messages: tuple[Message, ...], *, ask: bool) -> str:
        """The template's text; `ask` adds what comes before an answer."""
        turns = [{"role": m.role, "content": m.content} for m in messages]
        return str(
            self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=ask)
        )

    def _marked_row(self, messages: tuple[Message, ...]) -> Row | None:
        """By the template's own marks; None when it hides what was said."""
        from transformers.utils.chat_template_utils import render_jinja_template

        texts, spans = render_jinja_template(
            conversations=[[{"role": m.role, "content": m.content} for m in messages]],
            chat_template=self._tokenizer.get_chat_template(),
            return_assistant_tokens_mask=True,
            **self._tokenizer.special_tokens_map,
        )
        text = texts[0]
        if any(m.content.strip() not in text for m in messages if m.role == "assistant"):
            return None
        return _cut(text, spans[0], self._tokenizer.eos_token or "")

    def _turn(self, messages: tuple[Message, ...], turn: int) -> tuple[str, str]:
        """The prompt of a turn, and what the model must write after it, its end included."""
        past, content = messages[:turn], messages[turn].content
        prompt = self.render(past, ask=True)
        shown = self.render((*past, Message("assistant", _PROBE)), ask=False)
        lead, _, suffix = shown.partition(_PROBE)
        whole = self.render(messages[: turn + 1], ask=False)
        for said in (content, content.strip()):  # many templates trim
            if lead.startswith(prompt) and whole == lead + said + suffix:
                return prompt, lead[len(prompt) :] + said + self._end(suffix)
        return prompt, _join(prompt, content) + self._end(suffix)

    def _end(self, suffix: str) -> str:
        """The end of turn at the start of what follows an answer: up to a special token."""
        eos = self._tokenizer.eos_token or ""
        candidates = [eos] if eos and eos in suffix else [t for t in self._special if t in suffix]
        if not candidates:
            return eos
        first = min(candidates, key=suffix.index)
        return suffix[: suffix.index(first) + len(first)]


def without_thoughts(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The conversation as if the assistant had not thought aloud. It ends before an answer of
    which nothing is left: one that was cut off while thinking.
    """
    kept: list[Message] = []
    for message in messages:
        if message.role == "assistant":
            said = _answer(message.content)
            if message.content and not said:
                break
            message = Message("assistant", said)
        kept.append(message)
    return tuple(kept)


def thinks(messages: tuple[Message, ...]) -> bool:
    """Whether the assistant thinks aloud somewhere."""
    return any(_END_THINK in m.content or _THINK in m.content for m in messages)


def _answer(content: str) -> str:
    """What follows the thoughts. Some data lack the opening mark: their template wrote it."""
    if _THINK not in content and _END_THINK not in content:
        return content
    return _THOUGHT.sub("", content).rpartition(_END_THINK)[2].lstrip()


def _all_trained(row: Row) -> Row:
    return tuple(Piece(piece.text, True) for piece in row)


def _behind(known: str, prompt: str, target: str) -> Row:
    """A turn in which what an earlier row has taught is not taught again."""
    if not prompt.startswith(known):
        pairs = zip(known, prompt, strict=False)
        known = known[: sum(1 for _ in itertools.takewhile(lambda p: p[0] == p[1], pairs))]
    return Piece(known, False), Piece(prompt[len(known) :], True), Piece(target, True)


def _cut(text: str, spans: list[tuple[int, int]], eos: str) -> Row | None:
    """Pieces by marked spans. Some templates close the block before the end token: it is added,
    since the model must learn to end.
    """
    pieces: list[Piece] = []
    at = 0
    for start, end in spans:
        if eos and text.startswith(eos, end) and not text.endswith(eos, start, end):
            end += len(eos)
        pieces += [Piece(text[at:start], False), Piece(text[start:end], True)]
        at = end
    return (*pieces, Piece(text[at:], False)) if pieces else None


def _nested(turns: list[tuple[str, str]]) -> list[Row] | None:
    """All turns as one row, when each prompt continues the row so far."""
    pieces: list[Piece] = []
    text = ""
    for prompt, target in turns:
        if not prompt.startswith(text):
            return None
        pieces += [Piece(prompt[len(text) :], False), Piece(target, True)]
        text = prompt + target
    return [tuple(pieces)]


def _join(prompt: str, content: str) -> str:
    """The content as it continues a prompt that may have opened the thinking already."""
    if not prompt.rstrip().endswith(_THINK):
        return content
    if content.startswith(_THINK):
        return content[len(_THINK) :].lstrip("\n")
    if _END_THINK in content and _THINK not in content:  # its thoughts begin where the prompt ends
        return content
    return f"\n{_END_THINK}\n\n{content}"


def _special_tokens(tokenizer: Any) -> list[str]:
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    known = {str(token) for token in added if getattr(token, "special", False)}
    return sorted(known | set(tokenizer.all_special_tokens))
