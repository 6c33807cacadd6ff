"""POST /v1/completions and POST /generate: raw text in, its continuation out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from workers.serve.http.answering import Asked, Prepared, answer
from workers.serve.http.errors import bad_value
from workers.serve.http.format_completion import CompletionFormat, GenerateFormat, Shown
from workers.serve.http.generation import Row
from workers.serve.http.guard import check_prompt, need, numbered, sampling_params
from workers.serve.http.schemas import CompletionRequest, GenerateRequest
from workers.serve.http.state import Loaded, ServerState
from workers.serve.text.answer import Answer
from workers.serve.text.prompts import Prompt


async def completions(state: ServerState, request: Request) -> Response:
    """OpenAI's text completions."""
    return await answer(state, request, CompletionRequest, _prepare_completion)


async def generate(state: ServerState, request: Request) -> Response:
    """The guide's plain route."""
    return await answer(state, request, GenerateRequest, _prepare_generate)


async def prompts_of(loaded: Loaded, given: list[str | list[int]]) -> list[Prompt]:
    """Texts and token lists as prompts.

    Raises:
        ApiError: 400 for an empty text.
    """
    prompter = loaded.prompter
    if len(given) == 1 and isinstance(given[0], str):
        return [await prompter.text(given[0])]
    return await prompter.texts(given)


async def _prepare_completion(asked: Asked[CompletionRequest]) -> Prepared:
    body, loaded = asked.body, asked.loaded
    _refuse(body, loaded)
    rows = []
    for prompt in await prompts_of(loaded, body.prompts):
        check_prompt(prompt.tokens, loaded.facts, 0 if body.max_tokens == 0 else 1)
        params = sampling_params(
            body,
            asked.state.spec,
            loaded.facts,
            len(prompt.tokens),
            loaded.prompter.sampling_defaults,
            prompt_logprobs=_prompt_logprobs(body),
        )
        for number in range(body.rows):
            text = Answer(loaded.prompter.codec.stream(), body.stops)
            rows.append(Row(prompt, numbered(params, number), text))
    form = CompletionFormat(
        asked.call,
        asked.model,
        loaded.prompter,
        labeled=asked.state.spec.ai_label,
        shown=Shown(bool(body.echo), body.logprobs is not None, body.n or 1),
    )
    return Prepared(rows, form)


def _prompt_logprobs(body: CompletionRequest) -> int | None:
    """The prompt is scored when it is shown with logprobs, or when nothing else is wanted."""
    if body.echo and (body.logprobs is not None or body.max_tokens == 0):
        return body.logprobs or 0
    return None


def _refuse(body: CompletionRequest, loaded: Loaded) -> None:
    """Say no to what would otherwise be dropped in silence."""
    if body.suffix:
        raise bad_value("these models do not fill in: suffix is not supported", "suffix")
    if body.max_tokens == 0 and not body.echo:
        raise bad_value("max_tokens 0 needs echo: there would be no answer", "max_tokens")
    if body.best_of is not None and body.best_of < (body.n or 1):
        raise bad_value("best_of must not be below n", "best_of")
    if body.stream and body.rows > (body.n or 1):
        raise bad_value("best_of cannot be streamed: the best is known at the end", "best_of")
    if _prompt_logprobs(body) is not None:
        need(loaded.facts, "prompt_logprobs", "echo", "scoring a prompt")


async def _prepare_generate(asked: Asked[GenerateRequest]) -> Prepared:
    body, loaded = asked.body, asked.loaded
    if body.num_beams not in (None, 1):
        raise bad_value("beam search is not supported", "num_beams")
    prompt = await loaded.prompter.text(body.prompt)
    check_prompt(prompt.tokens, loaded.facts)
    defaults = loaded.prompter.sampling_defaults
    params = sampling_params(body, asked.state.spec, loaded.facts, len(prompt.tokens), defaults)
    rows = [
        Row(prompt, numbered(params, i), Answer(loaded.prompter.codec.stream(), body.stops))
        for i in range(body.rows)
    ]
    form = GenerateFormat(
        asked.call,
        asked.model,
        loaded.prompter,
        labeled=asked.state.spec.ai_label,
        before=body.prompt if body.return_full_text else "",
    )
    return Prepared(rows, form)
