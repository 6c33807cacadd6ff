"""Rows of every known form become samples, and odd ones are refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from core.datasets import Message, SampleForm
from core.datasets.forms import BadColumnsError, BadSampleError, detect_form, parse_row

HI = (Message("user", "hi"), Message("assistant", "hello"))
TURNS = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


@pytest.mark.parametrize(
    ("form", "row"),
    [
        ("messages", {"messages": TURNS, "source": "x"}),
        (
            "sharegpt",
            {
                "conversations": [
                    {"from": "human", "value": "hi"},
                    {"from": "gpt", "value": "hello"},
                ]
            },
        ),
        ("alpaca", {"instruction": "hi", "input": "", "output": "hello"}),
        ("alpaca", {"instruction": "hi", "output": "hello"}),
        ("alpaca", {"instruction": "hi", "input": None, "output": "hello"}),
        ("prompt_completion", {"prompt": "hi", "completion": "hello"}),
        ("prompt_completion", {"prompt": TURNS[:1], "completion": TURNS[1:]}),
    ],
)
def test_every_form_gives_the_same_conversation(form: str, row: dict[str, Any]) -> None:
    found = detect_form(row)
    assert found == SampleForm(form)
    assert parse_row(found, row).messages == HI


def test_plain_text_stays_as_it_stands() -> None:
    sample = parse_row(SampleForm.TEXT, {"text": "  a\nb "})
    assert (sample.text, sample.messages) == ("  a\nb ", ())


def test_an_alpaca_input_follows_the_instruction_and_history_comes_before_it() -> None:
    row = {
        "instruction": "Translate.",
        "input": "你好",
        "output": "Hello",
        "system": "Be brief.",
        "history": [["a", "b"]],
    }
    sample = parse_row(SampleForm.ALPACA, row)
    assert [(m.role, m.content) for m in sample.messages] == [
        ("system", "Be brief."),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "Translate.\n你好"),
        ("assistant", "Hello"),
    ]


def test_a_sharegpt_system_prompt_comes_first() -> None:
    turns = [{"from": "user", "value": "q"}, {"from": "assistant", "value": "a"}]
    sample = parse_row(SampleForm.SHAREGPT, {"system": "s", "conversations": turns})
    assert [m.role for m in sample.messages] == ["system", "user", "assistant"]


def test_text_parts_are_joined_and_thinking_is_kept() -> None:
    row = {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            {"role": "assistant", "content": "c", "reasoning_content": "hm"},
        ]
    }
    sample = parse_row(SampleForm.MESSAGES, row)
    assert [m.content for m in sample.messages] == ["ab", "<think>\nhm\n</think>\n\nc"]


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "empty"),
        ("hello", "not a list"),
        (["hello"], "not an object"),
        ([{"role": "wizard", "content": "x"}], "unknown role 'wizard'"),
        ([{"content": "x"}], "unknown role"),
        ([{"role": "user", "content": "x"}], "no message of the assistant"),
        ([{"role": "user", "content": None}], "content is not text but NoneType"),
        ([{"role": "user", "content": 3}, *TURNS], "content is not text but int"),
        ([*TURNS, {"role": "system", "content": "x"}], "only come first"),
        (
            [TURNS[0], {"role": "assistant", "content": "  "}],
            "every answer of the assistant is empty",
        ),
        ([TURNS[0], {"role": "assistant", "content": "\ud800"}], "surrogate"),
        ([TURNS[0], {"role": "assistant", "content": "", "tool_calls": [{}]}], "tool calls"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "other than text"),
    ],
)
def test_messages_that_cannot_be_trained_on_are_refused_in_words(messages: Any, said: str) -> None:
    with pytest.raises(BadSampleError, match=said):
        parse_row(SampleForm.MESSAGES, {"messages": messages})


def test_a_row_without_the_columns_of_its_form_names_those_it_has() -> None:
    with pytest.raises(BadColumnsError, match="completion, text"):
        parse_row(SampleForm.PROMPT_COMPLETION, {"text": "a", "completion": "b"})
    with pytest.raises(BadColumnsError, match="list"):
        parse_row(SampleForm.TEXT, [])


@pytest.mark.parametrize("row", [{}, {"question": "a", "answer": "b"}, "text", 3, None, ["a"]])
def test_an_unknown_form_is_not_guessed(row: Any) -> None:
    assert detect_form(row) is None
