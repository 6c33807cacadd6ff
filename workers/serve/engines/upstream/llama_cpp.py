"""llama.cpp's `llama-server` for GGUF files: a program that the user chose.

Its native `/completion` route takes tokens. Its stream leaves out the tokens of a character that
is not whole yet (read in its source, `process_token`), but never text: so the text counts here.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from workers.serve.engines.base import (
    NO_TOKEN,
    FinishReason,
    ModelFacts,
    Request,
    TokenEvent,
    TokenLogprob,
)
from workers.serve.engines.sources import gguf_file_of
from workers.serve.engines.upstream.dialect import Json, Launch, Reader, is_schema, number_of_seed

OLDEST_BUILD = 8146
"""GGUF files can write out of bounds in older builds (CVE-2026-27940, GHSA-3p4r-fq3f-q74v)."""
DEFAULT_SLOTS = 4
_DEFAULT_CONTEXT = 4096
_VERSION = re.compile(r"(?:version|build)[: b]+(\d+)")


class LlamaCpp:
    """`Dialect` of llama-server."""

    name = "llama_cpp"
    path = "/completion"
    facts_paths = ("/props", "/v1/models")

    def check(self, spec: ServeSpec) -> None:
        """The program, its build and a GGUF file."""
        program = _program(spec)
        if gguf_file_of(Path(spec.model)) is None:
            raise AppError(
                ErrorCode.ENGINE_UNAVAILABLE, engine="llama.cpp", detail="it reads GGUF files only"
            )
        build = _build_of(program)
        if build is not None and build < OLDEST_BUILD:
            raise AppError(
                ErrorCode.EXTERNAL_ENGINE_OLD,
                engine="llama.cpp", found=f"b{build}", wanted=f"b{OLDEST_BUILD}",
            )  # fmt: skip

    def launch(self, spec: ServeSpec, port: int, key: str) -> Launch:
        """Everything off that the gateway does better or does not want: web page, slots, files."""
        gguf = gguf_file_of(Path(spec.model))
        slots = spec.max_batch_size or DEFAULT_SLOTS
        context = spec.max_context_tokens or _DEFAULT_CONTEXT
        layers = "999" if spec.gpu_layers < 0 else str(spec.gpu_layers)
        command = [
            _program(spec), "--model", str(gguf), "--host", "127.0.0.1", "--port", str(port),
            "--parallel", str(slots), "--ctx-size", str(slots * context),
            "--n-gpu-layers", "0" if spec.device == "cpu" else layers,
            "--no-webui", "--no-slots", "--timeout", str(int(spec.request_timeout_s)),
        ]  # fmt: skip
        return Launch(tuple(command), {"LLAMA_API_KEY": key})

    def facts(self, spec: ServeSpec, documents: Mapping[str, Json]) -> ModelFacts:
        """Context of a slot, vocabulary and end token as the program knows them."""
        props = documents["/props"]
        slots = int(props.get("total_slots") or 1)
        context = int(props.get("default_generation_settings", {}).get("n_ctx") or 0)
        models = documents["/v1/models"].get("data") or [{}]
        meta = models[0].get("meta") or {}
        return ModelFacts(
            engine=f"llama.cpp {props.get('build_info', '')}".strip(),
            device="cpu" if spec.device == "cpu" or spec.gpu_layers == 0 else "cuda:0",
            dtype="gguf",
            vocab_size=int(meta.get("n_vocab") or 1 << 31),
            max_context_tokens=context or _DEFAULT_CONTEXT,
            eos_token_ids=frozenset(),  # the program ends by itself and says so
            adapters=(None,),
            precision="gguf",
            max_batch_size=slots,
            cache_tokens=slots * (context or _DEFAULT_CONTEXT),
            features=frozenset({"schema"}),
        )

    def body(self, request: Request) -> Json:
        """Sampling as ours: no hidden defaults of the program's own."""
        params = request.params
        body: Json = {
            "prompt": request.prompt,
            "n_predict": params.max_new_tokens,
            "stream": True,
            "cache_prompt": True,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": params.top_k,
            "min_p": params.min_p,
            "typical_p": 1.0,
            "repeat_penalty": params.repetition_penalty,
            "repeat_last_n": -1 if params.penalized else 0,
            "presence_penalty": params.presence_penalty,
            "frequency_penalty": params.frequency_penalty,
            "ignore_eos": params.ignore_eos,
            "logit_bias": [list(pair) for pair in params.logit_bias],
            "return_tokens": True,
            "samplers": ["penalties", "top_k", "top_p", "min_p", "temperature"],
        }
        if (seed := number_of_seed(params.seed)) is not None:
            body["seed"] = seed
        if params.logprobs is not None:
            body["n_probs"] = max(1, params.logprobs)
        if is_schema(params):
            body["json_schema"] = _schema(params.grammar or "")
        return body

    def reader(self, request: Request, facts: ModelFacts) -> Reader:
        """For one answer."""
        return _Reader(request)


class _Reader:
    """Keeps count, since the stream says the end in a document of its own."""

    def __init__(self, request: Request) -> None:
        self._params = request.params
        self._seen = 0

    def events(self, document: Json) -> list[TokenEvent]:
        if document.get("stop"):
            return [self._end(document)]
        tokens = document.get("tokens") or []
        if not tokens and not document.get("content"):
            return []
        token = int(tokens[-1]) if tokens else NO_TOKEN
        self._seen += 1
        finish: FinishReason | None = None
        is_stop = token in self._params.stop_token_ids
        if is_stop:
            finish = "stop"
        # A text that stands for no token must not look like the sign that a request has started.
        return [
            TokenEvent(
                token=max(0, token),
                finish=finish,
                is_stop_token=is_stop,
                text=str(document.get("content") or ""),
                logprob=_logprob(document, self._params.logprobs),
            )
        ]

    def _end(self, document: Json) -> TokenEvent:
        ended = document.get("stop_type") in ("eos", "word")
        return TokenEvent(
            NO_TOKEN,
            finish="stop" if ended else "length",
            is_stop_token=ended,
            text=str(document.get("content") or ""),
            cached_tokens=int((document.get("timings") or {}).get("cache_n") or 0),
        )


def _logprob(document: Json, wanted: int | None) -> TokenLogprob | None:
    found = document.get("completion_probabilities") or []
    if wanted is None or not found:
        return None
    first: Json = found[-1]
    top = tuple((int(t["id"]), float(t["logprob"])) for t in first.get("top_logprobs") or ())
    return TokenLogprob(float(first["logprob"]), top[:wanted])


def _schema(grammar: str) -> Any:
    return {"type": "object"} if grammar == "json_object" else json.loads(grammar)


def _program(spec: ServeSpec) -> str:
    wanted = spec.llama_server or "llama-server"
    found = shutil.which(wanted)
    if found is None:
        raise AppError(ErrorCode.EXTERNAL_ENGINE_MISSING, engine="llama-server", path=wanted)
    return found


def _build_of(program: str) -> int | None:
    """The build's number; None for a build without one (made from a source archive)."""
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise AppError(
            ErrorCode.EXTERNAL_ENGINE_FAILED, engine="llama-server", detail=str(e)
        ) from e
    found = _VERSION.search(said.stderr + said.stdout)
    return int(found.group(1)) if found and int(found.group(1)) > 1 else None
