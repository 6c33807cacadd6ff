"""POST /v1/embeddings: the mean of a text's last hidden states, as a unit vector."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from workers.serve.engines.base import SamplingParams
from workers.serve.http.answering import Asked, accounted, begun, headers_of
from workers.serve.http.completions import prompts_of
from workers.serve.http.errors import ApiError, bad_value
from workers.serve.http.generation import ClientLeft, Generation, Row
from workers.serve.http.guard import check_prompt, need
from workers.serve.http.schemas import EmbeddingRequest
from workers.serve.http.state import Call, ServerState
from workers.serve.http.streaming import Presence, encoded
from workers.serve.text.answer import Answer

_PARAMS = SamplingParams(max_new_tokens=0, temperature=0.0, embed=True)


async def embeddings(state: ServerState, request: Request) -> Response:
    """OpenAI's embeddings."""

    async def work(call: Call) -> Response:
        asked = await begun(state, call, request, EmbeddingRequest)
        rows = await _rows(asked)
        presence = Presence(request.receive)
        try:
            if presence.left:
                raise ClientLeft
            generation = Generation(state, asked.loaded, call, rows, asked.adapter)
            presence.when_left(generation.leave)
            vectors = await _vectors(generation)
        finally:
            presence.close()
        content = encoded(_document(asked, generation, vectors))
        call.end(200, "stop")
        return Response(content, media_type="application/json", headers=headers_of(asked))

    return await accounted(state, request, work)


async def _rows(asked: Asked[EmbeddingRequest]) -> list[Row]:
    loaded = asked.loaded
    need(loaded.facts, "embeddings", "input", "making embeddings")
    prompts = await prompts_of(loaded, asked.body.inputs)
    for prompt in prompts:
        check_prompt(prompt.tokens, loaded.facts, 0)
    return [Row(p, _PARAMS, Answer(loaded.prompter.codec.stream())) for p in prompts]


async def _vectors(generation: Generation) -> list[Sequence[float]]:
    try:
        async for _ in generation.pieces():
            pass
    finally:
        generation.close()
    found = [c.answer.embedding for c in generation.choices]
    if any(v is None for v in found):
        raise ApiError(500, "the engine gave no vector", code="internal")
    return [v for v in found if v is not None]


def _document(
    asked: Asked[EmbeddingRequest], generation: Generation, vectors: list[Sequence[float]]
) -> dict[str, Any]:
    wanted = asked.body.dimensions
    if wanted is not None and wanted != len(vectors[0]):
        raise bad_value(f"this model's vectors have {len(vectors[0])} dimensions", "dimensions")
    as_text = asked.body.encoding_format == "base64"
    return {
        "object": "list",
        "model": asked.model,
        "data": [
            {"object": "embedding", "index": i, "embedding": _packed(v) if as_text else list(v)}
            for i, v in enumerate(vectors)
        ],
        "usage": {
            "prompt_tokens": generation.prompt_tokens,
            "total_tokens": generation.prompt_tokens,
        },
    }


def _packed(vector: Sequence[float]) -> str:
    """Little-endian float32, as OpenAI's clients ask for it by themselves."""
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
