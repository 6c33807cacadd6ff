"""POST /tokenize and /detokenize, GET /tokenizer_info, as vLLM has them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from workers.serve.http.answering import Asked, accounted, begun, headers_of
from workers.serve.http.errors import ApiError, bad_value
from workers.serve.http.schemas import DetokenizeRequest
from workers.serve.http.schemas_chat import TokenizeRequest, definitions
from workers.serve.http.state import Call, ServerState
from workers.serve.http.streaming import encoded
from workers.serve.http.tools import check_tools
from workers.serve.text.prompts import Conversation


async def tokenize(state: ServerState, request: Request) -> Response:
    """Text or messages in, tokens out."""

    async def work(call: Call) -> Response:
        asked = await begun(state, call, request, TokenizeRequest)
        tokens = await _tokens(asked)
        prompter = asked.loaded.prompter
        texts = (
            [prompter.token_text(t)[0] for t in tokens] if asked.body.return_token_strs else None
        )
        found = {
            "count": len(tokens),
            "max_model_len": asked.loaded.facts.max_context_tokens,
            "tokens": tokens,
            "token_strs": texts,
        }
        call.end(200)
        return Response(encoded(found), media_type="application/json", headers=headers_of(asked))

    return await accounted(state, request, work)


async def detokenize(state: ServerState, request: Request) -> Response:
    """Tokens in, text out; special tokens are written out."""

    async def work(call: Call) -> Response:
        asked = await begun(state, call, request, DetokenizeRequest)
        tokens, prompter = asked.body.tokens, asked.loaded.prompter
        size = asked.loaded.facts.vocab_size
        if tokens and max(tokens) >= size:
            raise bad_value(f"token ids must be from 0 to {size - 1}", "tokens")
        text = await prompter.run(lambda: prompter.codec.decode(tokens, special=True))
        call.end(200)
        content = encoded({"prompt": text})
        return Response(content, media_type="application/json", headers=headers_of(asked))

    return await accounted(state, request, work)


async def tokenizer_info(state: ServerState, request: Request) -> Response:
    """What clients must know to split text as the model does: lm-evaluation-harness asks."""
    try:
        found = state.require_ready().prompter.info()
    except ApiError as e:
        return e.response()
    return Response(encoded(found), media_type="application/json")


async def _tokens(asked: Asked[TokenizeRequest]) -> list[int]:
    body, prompter = asked.body, asked.loaded.prompter
    if (body.prompt is None) == (body.messages is None):
        raise bad_value("give either prompt or messages", "prompt")
    if body.messages is not None:
        check_tools(body.tools or [])
        conversation = Conversation(
            body.messages,
            body.chat_template_kwargs or {},
            definitions(body.tools),
            ask=body.add_generation_prompt is not False,
        )
        return (await prompter.chat(conversation, asked.adapter)).tokens
    text, special = body.prompt or "", body.add_special_tokens is not False
    return await prompter.run(lambda: prompter.codec.encode(text, special=special))
