"""POST /v1/chat/completions."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from workers.serve.http.answering import Asked, Prepared, answer
from workers.serve.http.errors import bad_value
from workers.serve.http.format_chat import ChatFormat
from workers.serve.http.generation import Row
from workers.serve.http.guard import check_prompt, need, numbered, sampling_params
from workers.serve.http.schemas_chat import ChatRequest
from workers.serve.http.state import ServerState
from workers.serve.http.tools import Functions, checked_grammar, functions_of
from workers.serve.native.sampling.grammar import after_thought
from workers.serve.text.answer import Answer
from workers.serve.text.prompts import Conversation, Prompt, Prompter
from workers.serve.text.reasoning import CLOSE, OPEN, ReasoningSplitter


async def chat(state: ServerState, request: Request) -> Response:
    """OpenAI's chat."""
    return await answer(state, request, ChatRequest, _prepare)


async def _prepare(asked: Asked[ChatRequest]) -> Prepared:
    body, loaded = asked.body, asked.loaded
    prompter = loaded.prompter
    _refuse(body)
    functions = functions_of(body, prompter, asked.adapter)
    grammar = await checked_grammar(body, functions, loaded.facts)
    prompt = await prompter.chat(
        Conversation(body.messages, body.chat_template_kwargs or {}, functions.definitions),
        asked.adapter,
    )
    check_prompt(prompt.tokens, loaded.facts)
    if grammar is not None and prompt.in_thought:
        what = "holding an answer to a form behind its thought"
        need(loaded.facts, "grammar", "response_format", what)
        grammar = after_thought(grammar)
    params = sampling_params(
        body,
        asked.state.spec,
        loaded.facts,
        len(prompt.tokens),
        prompter.sampling_defaults,
        grammar=grammar,
    )
    rows = [
        Row(prompt, numbered(params, i), _answer(body, prompt, prompter, functions))
        for i in range(body.rows)
    ]
    labeled = asked.state.spec.ai_label
    form = ChatFormat(asked.call, asked.model, prompter, labeled=labeled)
    return Prepared(rows, form, markable=grammar is None)


def _answer(body: ChatRequest, prompt: Prompt, prompter: Prompter, functions: Functions) -> Answer:
    parser = functions.parser()
    marks = (OPEN, CLOSE, *(functions.form.marks if parser is not None else ()))
    splitter = ReasoningSplitter(thinking=prompt.in_thought) if body.include_reasoning else None
    return Answer(prompter.codec.stream(marks), body.stops, splitter, parser)


def _refuse(body: ChatRequest) -> None:
    """Say no to what would otherwise be dropped in silence."""
    if body.top_logprobs is not None and not body.logprobs:
        raise bad_value("top_logprobs needs logprobs to be true", "top_logprobs")
    if body.functions:
        raise bad_value("functions is an old name; use tools", "functions")
    if body.modalities and body.modalities != ["text"]:
        raise bad_value("only text can be made", "modalities")
