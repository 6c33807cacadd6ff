"""Functions in chats: what the model is told of them, what comes back, and what is forced."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("transformers")
pytest.importorskip("llguidance")

from tests.serve_front import Front, saying
from tests.tiny_models import PLAIN_TEMPLATE, tiny_tokenizer
from workers.serve.http.answers import ChatCompletion
from workers.serve.text.tool_calls import ToolCall
from workers.serve.text.tool_formats import DEEPSEEK, HERMES

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather <|eos|>.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
TIME: dict[str, Any] = {"type": "function", "function": {"name": "get_time"}}
CALL = ToolCall("get_weather", '{"city": "Paris"}')
TOOLS = {"tools": [WEATHER, TIME], "max_tokens": 100}
HERMES_TEMPLATE = (
    "{% if tools %}{{ '# Tools ' + (tools | tojson) + ' answer with <tool_call>' }}{% endif %}"
    "{% for m in messages %}{{ m.role + ': ' }}"
    "{% if m.tool_calls %}{% for c in m.tool_calls %}"
    "{{ '<tool_call>' + c.function.name + (c.function.arguments | tojson) }}{% endfor %}"
    "{% elif m.role == 'tool' %}{{ '<tool_response>' + m.content }}"
    "{% else %}{{ m.content }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
DEEPSEEK_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' and m['content'] is none %}"
    "{{ '<｜tool▁calls▁begin｜>```json' + m['tool_calls'][0]['function']['arguments'] }}"
    "{% elif m['role'] == 'tool' %}{{ '<｜tool▁output▁begin｜>' + m['content'] }}"
    "{% else %}{{ m['role'] + m['content'] }}{% endif %}{% endfor %}"
)


def with_template(template: str) -> Any:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def prompt_text(front: Front) -> str:
    """What the model read last; the engine stand-in need not have room for it."""
    return str(front.tokenizer.decode(front.engine.tickets[-1].prompt))


def tool_front(text: str, template: str = HERMES_TEMPLATE, **more: Any) -> Front:
    tokenizer = with_template(template)
    front = Front(saying(text, tokenizer), tokenizer, **more)
    loaded = front.state.loaded
    assert loaded is not None
    object.__setattr__(loaded.facts, "max_context_tokens", 4096)
    return front


def stream_of(response: Any) -> tuple[str, list[Any], str]:
    """Content, calls and end of a stream."""
    content, calls, finish = "", [], ""
    for line in response.text.splitlines():
        if not line.startswith("data: {"):
            continue
        choice = json.loads(line.removeprefix("data: "))["choices"][0]
        content += choice["delta"].get("content") or ""
        calls += choice["delta"].get("tool_calls", [])
        finish = choice["finish_reason"] or finish
    return content, calls, finish


@pytest.mark.parametrize("stream", [False, True])
def test_calls_come_back_as_calls(stream: bool) -> None:
    text = "I look.\n" + HERMES.write([CALL, ToolCall("get_time", "{}")])
    response = tool_front(text).chat(stream=stream, **TOOLS)
    if stream:
        content, calls, finish = stream_of(response)
        assert [c["index"] for c in calls] == [0, 1]
    else:
        answer = ChatCompletion.model_validate_json(response.text).choices[0]
        content, finish = answer.message.content or "", answer.finish_reason
        calls = [c.model_dump() for c in answer.message.tool_calls or ()]
    assert (content, finish) == ("I look.", "tool_calls")
    assert [c["function"]["name"] for c in calls] == ["get_weather", "get_time"]
    assert json.loads(calls[0]["function"]["arguments"]) == {"city": "Paris"}
    assert len({c["id"] for c in calls}) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_with_broken_arguments_is_content_and_an_ordinary_end(stream: bool) -> None:
    text = '<tool_call>{"name": "get_weather", "arguments": {"city": }</tool_call>'
    response = tool_front(text).chat(stream=stream, **TOOLS)
    if stream:
        assert stream_of(response) == (text, [], "stop")
    else:
        choice = response.json()["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == (text, "stop")
        assert "tool_calls" not in choice["message"]


def test_a_stream_is_kept_alive_while_a_long_call_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.serve.http.generation.PING_S", 0.02)
    front = tool_front(HERMES.write([CALL]))

    async def slowly(ticket: Any) -> None:
        for event in front.engine._script(ticket):
            await asyncio.sleep(0.005)
            ticket.deliver(event)

    monkeypatch.setattr(front.engine, "_play", slowly)
    response = front.chat(stream=True, **TOOLS)
    assert response.text.count(": ping") >= 3
    assert stream_of(response)[2] == "tool_calls"


def test_without_tools_the_text_is_left_alone() -> None:
    text = HERMES.write([CALL])
    for more in ({}, TOOLS | {"tool_choice": "none"}):
        front = tool_front(text)
        assert front.chat(**more).json()["choices"][0]["message"]["content"] == text
        assert "get_weather" not in prompt_text(front)


def test_one_call_ends_the_answer_when_parallel_ones_are_not_wanted() -> None:
    front = tool_front(HERMES.write([CALL] * 30))
    answer = front.chat(parallel_tool_calls=False, stream=True, **TOOLS)
    _, calls, finish = stream_of(answer)
    assert (len(calls), finish) == (1, "tool_calls")
    assert front.engine.tickets[0] in front.engine.cancelled


def test_a_template_that_knows_tools_is_given_them() -> None:
    front = tool_front("no")
    front.chat(**TOOLS)
    read = prompt_text(front)
    assert read.startswith("# Tools [")
    assert "Tells the weather" in read


def test_any_other_template_gets_a_text_that_names_the_models_own_notation() -> None:
    front = tool_front(DEEPSEEK.write([CALL]), DEEPSEEK_TEMPLATE)
    _, calls, finish = stream_of(front.chat(stream=True, **TOOLS))
    read = prompt_text(front)
    assert read.startswith("system")
    assert '"name": "get_weather"' in read
    assert "<｜tool▁call▁begin｜>function<｜tool▁sep｜>" in read
    assert (len(calls), finish) == (1, "tool_calls")


def test_marks_that_are_special_tokens_are_still_seen() -> None:
    tokenizer = with_template(DEEPSEEK_TEMPLATE)
    tokenizer.add_special_tokens({"additional_special_tokens": list(DEEPSEEK.marks)})
    front = Front(saying(DEEPSEEK.write([CALL, CALL]), tokenizer), tokenizer)
    loaded = front.state.loaded
    assert loaded is not None
    object.__setattr__(loaded.facts, "max_context_tokens", 4096)
    _, calls, finish = stream_of(front.chat(stream=True, **TOOLS))
    assert (len(calls), finish) == (2, "tool_calls")
    # The example in the text about tools is written with the tokens themselves.
    assert tokenizer.convert_tokens_to_ids(DEEPSEEK.marks[0]) in front.engine.tickets[0].prompt


def test_control_tokens_in_a_definition_are_only_text() -> None:
    front = tool_front("no")
    front.chat(**TOOLS)
    assert front.tokenizer.eos_token_id not in front.engine.tickets[0].prompt
    assert "<|eos|>" in prompt_text(front)


HISTORY = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_1", "type": "function",
         "function": {"name": "get_weather", "arguments": '{"city": "Paris <|eos|>"}'}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny <|eos|>"},
]  # fmt: skip
READS = [
    (HERMES_TEMPLATE, '<tool_call>get_weather{"city": "Paris <|eos|>"}', "<tool_response>sunny"),
    (DEEPSEEK_TEMPLATE, '```json{"city": "Paris <|eos|>"}', "<｜tool▁output▁begin｜>sunny"),
    (PLAIN_TEMPLATE, '"arguments": {"city": "Paris <|eos|>"}', "User: The function's result:"),
]


@pytest.mark.parametrize(("template", "call", "result"), READS)
def test_calls_and_results_of_before_are_read_as_the_template_has_them(
    template: str, call: str, result: str
) -> None:
    front = tool_front("It is sunny.", template)
    answer = front.ask("/v1/chat/completions", {"messages": HISTORY})
    assert answer.status_code == 200, answer.text
    read = prompt_text(front)
    assert call in read
    assert result in read


def test_a_history_with_arguments_that_are_no_json_is_refused() -> None:
    broken = json.loads(json.dumps(HISTORY))
    broken[1]["tool_calls"][0]["function"]["arguments"] = "city=Paris"
    response = tool_front("x").ask("/v1/chat/completions", {"messages": broken})
    assert response.status_code == 400


# -- what is forced -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("required", ["get_weather", "get_time"]),
        ({"type": "function", "function": {"name": "get_time"}}, ["get_time"]),
    ],
)
def test_a_call_that_must_be_is_held_to_the_models_notation(choice: Any, names: list[str]) -> None:
    front = tool_front(HERMES.write([CALL]))
    assert front.chat(tool_choice=choice, **TOOLS).status_code == 200
    grammar = front.engine.tickets[0].params.grammar
    assert grammar is not None
    kind, _, text = grammar.partition(":")
    assert (kind, json.loads(text)["style"]) == ("tools", "qwen")
    assert [f["name"] for f in json.loads(text)["functions"]] == names


def test_a_free_choice_has_no_grammar() -> None:
    front = tool_front("no")
    front.chat(tool_choice="auto", **TOOLS)
    assert front.engine.tickets[0].params.grammar is None


def test_a_form_is_obeyed_behind_the_thought_that_the_prompt_opened() -> None:
    template = PLAIN_TEMPLATE.replace("'Assistant: ' }}{% endif", "'A: <think>\n' }}{% endif")
    front = tool_front('hm</think>{"a": 1}', template)
    answer = front.chat(response_format={"type": "json_object"}).json()
    grammar = front.engine.tickets[0].params.grammar
    assert grammar == "after:</think>\njson_object"
    assert answer["choices"][0]["message"]["content"] == '{"a": 1}'


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def form(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def test_a_schema_goes_to_the_engine_as_it_came() -> None:
    front = tool_front('{"a": 1}')
    assert front.chat(response_format=form(SCHEMA)).status_code == 200
    assert json.loads(front.engine.tickets[0].params.grammar or "") == SCHEMA


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a schema that nothing fulfills": ({"response_format": form({"not": {}})}, "response_format"),
    "a type that is none": ({"response_format": form({"type": "gizmo"})}, "response_format"),
    "a schema of half a megabyte": (
        {"response_format": form({"enum": ["x" * 1000] * 500})}, "response_format"),
    "a schema elsewhere": (
        {"response_format": form({"$ref": "http://evil.example/s"})}, "response_format"),
    "no schema": ({"response_format": {"type": "json_schema"}}, "response_format"),
    "true for a schema": ({"response_format": form(True)}, "response_format"),
    "another form": ({"response_format": {"type": "grammar"}}, "response_format.type"),
    "two functions of one name": ({"tools": [TIME, TIME]}, "tools"),
    "129 functions": ({"tools": [TIME] * 129}, "tools"),
    "a name with spaces": ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools"),
    "another kind of tool": ({"tools": [{"type": "code_interpreter"}]}, "tools"),
    "tools of a megabyte": (
        {"tools": [{"type": "function", "function": {"name": f"f{i}", "description": "x" * 9999}}
                   for i in range(100)]}, "tools"),
    "a choice without tools": ({"tool_choice": "required"}, "tool_choice"),
    "a choice that is not there": (
        {"tools": [TIME],
         "tool_choice": {"type": "function", "function": {"name": "rm"}}}, "tool_choice"),
    "form and call at once": (
        {"tools": [TIME], "tool_choice": "required",
         "response_format": {"type": "json_object"}}, "response_format"),
    "the old name of tools": ({"functions": [{"name": "f"}]}, "functions"),
}  # fmt: skip


@pytest.mark.parametrize(("more", "param"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_held_is_refused_before_the_engine_sees_it(
    more: dict[str, Any], param: str
) -> None:
    front = tool_front("x")
    response = front.chat(**more)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert (error["param"] or "").startswith(param), error
    assert error["message"]
    assert front.engine.tickets == []


@pytest.mark.parametrize(
    "more", [{"response_format": {"type": "json_object"}}, TOOLS | {"tool_choice": "required"}]
)
def test_an_engine_without_grammars_refuses_forms(more: dict[str, Any]) -> None:
    response = tool_front("x", features=frozenset()).chat(**more)
    assert response.json()["error"]["code"] == "unsupported_by_engine"
    free = tool_front("x", features=frozenset()).chat(**TOOLS)
    assert free.status_code == 200


def test_an_engine_that_knows_schemas_alone_refuses_calls_and_forms_behind_a_thought() -> None:
    schemas: dict[str, Any] = {"features": frozenset({"schema"})}
    held = tool_front("{}", **schemas).chat(response_format={"type": "json_object"})
    assert held.status_code == 200, held.text
    forced = tool_front("x", **schemas).chat(**TOOLS, tool_choice="required")
    assert forced.json()["error"]["code"] == "unsupported_by_engine"
    assert tool_front("x", **schemas).chat(**TOOLS).status_code == 200
    thinking = PLAIN_TEMPLATE.replace("'Assistant: ' }}{% endif", "'A: <think>\n' }}{% endif")
    front = tool_front("hm</think>{}", thinking, **schemas)
    behind = front.chat(response_format={"type": "json_object"})
    assert behind.json()["error"]["code"] == "unsupported_by_engine"
