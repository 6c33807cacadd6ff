"""What a client reads: whole characters, no piece of a stop string, thought apart from answer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.serve.engines.base import TokenEvent
from workers.serve.text.answer import Answer
from workers.serve.text.detokenizer import Detokenizer
from workers.serve.text.reasoning import ReasoningSplitter, starts_in_thought
from workers.serve.text.stop_strings import StopStrings


def decode_bytes(tokens: list[int]) -> str:
    """A tokenizer whose tokens are bytes: the worst case for characters of several bytes."""
    return bytes(tokens).decode("utf-8", errors="replace")


@given(st.text())
def test_pieces_of_whole_characters_add_up_to_the_text(text: str) -> None:
    detokenizer = Detokenizer(decode_bytes)
    pieces = [detokenizer.add(b) for b in text.encode()]
    assert "".join(pieces) + detokenizer.finish() == text.rstrip("\ufffd") or "\ufffd" in text
    assert all("\ufffd" not in p for p in pieces) or "\ufffd" in text


def test_a_torn_character_at_the_end_is_left_out() -> None:
    detokenizer = Detokenizer(decode_bytes)
    pieces = [detokenizer.add(b) for b in "a好".encode()[:-1]]
    assert "".join(pieces) + detokenizer.finish() == "a"


def test_bytes_that_are_no_text_do_not_hold_an_answer_for_ever() -> None:
    detokenizer = Detokenizer(decode_bytes)
    assert "".join(detokenizer.add(0xFF) for _ in range(64))


@given(
    text=st.text(alphabet="ab#好", max_size=30),
    stops=st.lists(st.text(alphabet="ab#好", min_size=1, max_size=4), min_size=1, max_size=3),
    cuts=st.lists(st.integers(1, 4), min_size=30, max_size=30),
)
@settings(max_examples=300)
def test_a_stop_string_ends_the_text_before_it_however_the_text_is_cut(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    found = [at for s in stops if (at := text.find(s)) >= 0]
    filter_ = StopStrings(stops)
    shown, rest = "", text
    for cut in cuts:
        piece, rest = rest[:cut], rest[cut:]
        shown += filter_.add(piece)
        # A stop string found early in a piece may begin after one that is found later.
        assert not any(s in shown for s in stops)
        if filter_.hit:
            break
    shown += filter_.finish()
    assert filter_.hit is bool(found)
    if not found:
        assert shown == text
    else:
        assert text.startswith(shown)
        assert any(text[len(shown) :].startswith(s) for s in stops)


REASONING = [
    ("<think>\nhm</think>\n\nyes", False, "hm", "yes"),
    ("hm\n</think>\n\nyes", True, "hm", "yes"),
    ("\n<think>a < b</think>c", False, "a < b", "c"),
    ("no tags at all", False, "", "no tags at all"),
    ("a <think> in the middle", False, "", "a <think> in the middle"),
    ("<thinking is hard", False, "", "<thinking is hard"),
    ("never closed </thin", True, "never closed </thin", ""),
    ("<think></think>fast", False, "", "fast"),
    ("  indented", False, "", "  indented"),
]


@pytest.mark.parametrize(("text", "thinking", "reasoning", "content"), REASONING)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_thought_and_answer_are_told_apart(
    text: str, thinking: bool, reasoning: str, content: str, size: int
) -> None:
    splitter = ReasoningSplitter(thinking=thinking)
    pieces = [splitter.add(text[i : i + size]) for i in range(0, len(text), size)]
    pieces.append(splitter.finish())
    assert "".join(p.reasoning for p in pieces) == reasoning
    assert "".join(p.content for p in pieces) == content


def test_a_prompt_that_opens_the_tag_starts_in_thought() -> None:
    assert starts_in_thought("<|Assistant|><think>\n")
    assert not starts_in_thought("what does <think> mean?")


def test_the_count_ends_with_the_token_that_completed_the_stop_string() -> None:
    answer = Answer(Detokenizer(decode_bytes), stops=["END"])
    delta = answer.add([TokenEvent(b) for b in b"onEND two"])
    assert (delta.content, delta.finish, answer.completion_tokens) == ("on", "stop", 5)


def test_an_end_token_is_counted_and_not_shown() -> None:
    answer = Answer(Detokenizer(decode_bytes))
    delta = answer.add([TokenEvent(65), TokenEvent(66, "stop", is_stop_token=True)])
    assert (delta.content, delta.finish, answer.completion_tokens) == ("A", "stop", 2)
