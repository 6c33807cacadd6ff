"""Calls of functions in a model's text: found whole and as JSON, or left as what they are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.serve.text.tool_calls import Found, OneCall, ToolCall, ToolParser
from workers.serve.text.tool_formats import (
    DEEPSEEK,
    DEEPSEEK_V31,
    HERMES,
    LLAMA,
    ToolFormat,
    format_of,
)

NAMES = ["get_weather", "add"]
PARIS = ToolCall("get_weather", '{"city": "Paris 巴黎"}')
SUM = ToolCall("add", '{"a": 1, "b": [2, {"c": "}"}]}')
FORMATS = [DEEPSEEK, DEEPSEEK_V31, HERMES, LLAMA]
SIZES = [1, 2, 3, 7, 50, 10_000]


def parse(parser: ToolParser, text: str, size: int = 3, *, complete: bool = True) -> Found:
    total = Found()
    for start in range(0, len(text), size):
        add(total, parser.add(text[start : start + size]))
    add(total, parser.finish(complete=complete))
    return total


def add(total: Found, found: Found) -> None:
    total.content += found.content
    total.calls += found.calls


@pytest.mark.parametrize("form", FORMATS, ids=lambda f: f.style)
@pytest.mark.parametrize("size", SIZES)
def test_what_a_format_writes_it_reads_however_it_is_cut(form: ToolFormat, size: int) -> None:
    found = parse(form.make_parser(NAMES), form.write([PARIS, SUM]), size)
    assert found.calls == [PARIS, SUM]
    assert found.content == ""


@pytest.mark.parametrize("form", [DEEPSEEK, DEEPSEEK_V31, HERMES], ids=lambda f: f.style)
@pytest.mark.parametrize("size", SIZES)
def test_words_before_a_call_are_content_without_the_line_ends_between(
    form: ToolFormat, size: int
) -> None:
    text = f"Let me look, 3 < 4.\n\n{form.write([PARIS])}"
    found = parse(form.make_parser(NAMES), text, size)
    assert (found.content, found.calls) == ("Let me look, 3 < 4.", [PARIS])


@pytest.mark.parametrize("form", FORMATS, ids=lambda f: f.style)
@given(text=st.text(alphabet="a{<｜|tool_cal▁>/ \n", max_size=40), size=st.integers(1, 9))
@settings(max_examples=150)
def test_text_without_calls_comes_out_as_it_went_in(form: ToolFormat, text: str, size: int) -> None:
    assert parse(form.make_parser(NAMES), text, size) == Found(text)


BROKEN = {
    "arguments cut short": '<tool_call>{"name": "add", "arguments": {"a": 1}</tool_call>',
    "no JSON": "<tool_call>add(1, 2)</tool_call>",
    "a function nobody offered": '<tool_call>{"name": "rm", "arguments": {}}</tool_call>',
    "arguments that are a list": '<tool_call>{"name": "add", "arguments": [1]}</tool_call>',
    "not a number": '<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>',
    "nested beyond reading": "<tool_call>" + "[" * 100_000 + "</tool_call>",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_what_is_no_call_is_given_as_content(text: str) -> None:
    found = parse(HERMES.make_parser(NAMES), text, 5000)
    assert found.calls == []
    assert found.content == text


def test_a_call_that_the_length_cut_is_content() -> None:
    text = HERMES.write([PARIS])[:-14]
    found = parse(HERMES.make_parser(NAMES), text, complete=False)
    assert (found.content, found.calls) == (text, [])


def test_a_closing_mark_that_the_model_forgot_costs_nothing() -> None:
    """R1's distilled models often end their turn right behind the arguments."""
    text = DEEPSEEK.write([PARIS]).partition("```<｜tool▁call▁end｜>")[0]
    assert parse(DEEPSEEK.make_parser(NAMES), text).calls == [PARIS]


def test_r1_may_leave_out_the_outer_marks() -> None:
    text = DEEPSEEK.write([PARIS]).replace("<｜tool▁calls▁begin｜>", "")
    assert parse(DEEPSEEK.make_parser(NAMES), text).calls == [PARIS]


def test_arguments_as_json_within_json_are_unwrapped() -> None:
    text = '<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}</tool_call>'
    assert parse(HERMES.make_parser(NAMES), text).calls == [ToolCall("add", '{"a": 1}')]


def test_llama_may_begin_with_its_tag_and_say_parameters() -> None:
    text = '<|python_tag|>{"name": "add", "parameters": {"a": 1}}'
    assert parse(LLAMA.make_parser(NAMES), text).calls == [ToolCall("add", '{"a": 1}')]


def test_an_answer_in_json_that_is_no_call_stays_an_answer() -> None:
    text = '{"result": 4}'
    assert parse(LLAMA.make_parser(NAMES), text) == Found(text)


@pytest.mark.parametrize("form", FORMATS, ids=lambda f: f.style)
def test_without_parallel_calls_only_the_first_counts(form: ToolFormat) -> None:
    parser = OneCall(form.make_parser(NAMES))
    assert parse(parser, form.write([PARIS, SUM])).calls == [PARIS]
    assert parser.done


def test_arguments_are_always_json_objects() -> None:
    for form in FORMATS:
        for call in parse(form.make_parser(NAMES), form.write([PARIS, SUM])).calls:
            assert isinstance(json.loads(call.arguments), dict)


TEMPLATES = [
    ("{{'<｜tool▁calls▁begin｜>' + name + '\\n```json\\n'}}", DEEPSEEK),
    ("{{'<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + name}}", DEEPSEEK_V31),
    ("<tool_call>{{ call | tojson }}</tool_call>", HERMES),
    ("{{ '<|python_tag|>' }}", LLAMA),
    ("Environment: ipython", LLAMA),
]


@pytest.mark.parametrize(("template", "form"), TEMPLATES)
def test_the_template_tells_the_format(template: str, form: ToolFormat) -> None:
    assert format_of(template, lambda _: False) is form


@pytest.mark.parametrize(
    ("tokens", "form"),
    [
        ({"<｜tool▁calls▁begin｜>"}, DEEPSEEK),
        ({"<|python_tag|>"}, LLAMA),
        ({"<|python_tag|>", "<tool_call>"}, HERMES),
        (set(), HERMES),
    ],
)
def test_without_a_word_in_the_template_the_vocabulary_tells(
    tokens: set[str], form: ToolFormat
) -> None:
    assert format_of("", tokens.__contains__) is form
