"""vLLM in an environment of the user's: several cards by tensor parallelism, several machines by
Ray. The way past one card; documented, and started here as its documentation says.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from workers.serve.engines.base import (
    NO_TOKEN,
    ModelFacts,
    Request,
    TokenEvent,
    TokenLogprob,
)
from workers.serve.engines.upstream.dialect import Json, Launch, Reader, is_schema, number_of_seed
from workers.serve.names import adapter_names

OLDEST = (0, 14, 1)
"""Older ones run code from models and media (CVE-2026-22807, CVE-2026-22778)."""
_MODEL = "model"
_DEFAULT_ROWS = 128
_VERSION_CODE = "import importlib.metadata as m; print(m.version('vllm'))"


class Vllm:
    """`Dialect` of vLLM's server."""

    name = "vllm"
    path = "/v1/completions"
    facts_paths = ("/v1/models",)

    def check(self, spec: ServeSpec) -> None:
        """The environment's Python and vLLM's version, read without importing it."""
        python = spec.vllm_python or ""
        if not python or not Path(python).is_file():
            raise AppError(ErrorCode.EXTERNAL_ENGINE_MISSING, engine="vLLM", path=python or "-")
        found = _version(python)
        if _numbers(found) < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            raise AppError(ErrorCode.EXTERNAL_ENGINE_OLD, engine="vLLM", found=found, wanted=wanted)

    def launch(self, spec: ServeSpec, port: int, key: str) -> Launch:
        """Its own server on loopback; usage reports and request logs off."""
        command = [
            str(spec.vllm_python), "-m", "vllm.entrypoints.openai.api_server",
            "--model", spec.model, "--served-model-name", _MODEL,
            "--host", "127.0.0.1", "--port", str(port),
            "--gpu-memory-utilization", f"{spec.memory_share:g}",
            "--max-num-seqs", str(spec.max_batch_size or _DEFAULT_ROWS),
            "--tensor-parallel-size", str(spec.tensor_parallel),
            "--disable-uvicorn-access-log", "--no-enable-log-requests",
        ]  # fmt: skip
        command += _precision(spec)
        if spec.max_context_tokens:
            command += ["--max-model-len", str(spec.max_context_tokens)]
        if not spec.prefix_cache:
            command.append("--no-enable-prefix-caching")
        if not spec.cuda_graphs:
            command.append("--enforce-eager")
        if spec.ray_address:
            command += ["--distributed-executor-backend", "ray"]
        if adapters := adapter_names(spec):
            command += ["--enable-lora", "--lora-modules"]
            command += [f"{name}={folder}" for name, folder in adapters.items()]
        environment = {"VLLM_API_KEY": key, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        if spec.ray_address:
            environment["RAY_ADDRESS"] = spec.ray_address
        if spec.device.startswith("cuda:"):
            environment["CUDA_VISIBLE_DEVICES"] = spec.device.partition(":")[2]
        return Launch(tuple(command), environment)

    def facts(self, spec: ServeSpec, documents: Mapping[str, Json]) -> ModelFacts:
        """The context that its memory allows; vocabulary from the model's own configuration."""
        models = documents["/v1/models"].get("data") or [{}]
        config = _config(Path(spec.model))
        names: tuple[str | None, ...] = (*adapter_names(spec), None)
        eos = config.get("eos_token_id")
        return ModelFacts(
            engine="vLLM",
            device="cuda" if spec.tensor_parallel == 1 else f"cuda x{spec.tensor_parallel}",
            dtype=spec.precision,
            vocab_size=int(config.get("vocab_size") or 1 << 31),
            max_context_tokens=int(models[0].get("max_model_len") or 4096),
            eos_token_ids=frozenset(eos if isinstance(eos, list) else [eos] if eos else []),
            adapters=names,
            precision=spec.precision,
            max_batch_size=spec.max_batch_size or _DEFAULT_ROWS,
            features=frozenset({"schema"}),
        )

    def body(self, request: Request) -> Json:
        """Token ids in, text and token ids out, stop strings left to the gateway."""
        params = request.params
        body: Json = {
            "model": request.adapter or _MODEL,
            "prompt": request.prompt,
            "max_tokens": params.max_new_tokens,
            "stream": True,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": params.top_k or -1,
            "min_p": params.min_p,
            "presence_penalty": params.presence_penalty,
            "frequency_penalty": params.frequency_penalty,
            "repetition_penalty": params.repetition_penalty,
            "ignore_eos": params.ignore_eos,
            "stop_token_ids": sorted(params.stop_token_ids),
            "logit_bias": {str(t): b for t, b in params.logit_bias} or None,
            "logprobs": params.logprobs,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            "stream_options": {"include_usage": True},
            "cache_salt": request.namespace or None,
        }
        if (seed := number_of_seed(params.seed)) is not None:
            body["seed"] = seed
        if is_schema(params):
            schema = params.grammar or ""
            form = (
                {"json_object": True} if schema == "json_object" else {"json": json.loads(schema)}
            )
            body["structured_outputs"] = form
        return {k: v for k, v in body.items() if v is not None}

    def reader(self, request: Request, facts: ModelFacts) -> Reader:
        """For one answer."""
        return _Reader(request, facts)


class _Reader:
    def __init__(self, request: Request, facts: ModelFacts) -> None:
        self._request, self._facts = request, facts

    def events(self, document: Json) -> list[TokenEvent]:
        choices = document.get("choices") or []
        if not choices:
            return []
        choice: Json = choices[0]
        tokens = [int(t) for t in choice.get("token_ids") or []]
        reason = choice.get("finish_reason")
        finish: Any = reason if reason in ("stop", "length") else None
        if not tokens:
            text = str(choice.get("text") or "")
            if finish is None and not text:
                return []
            # Without a finish NO_TOKEN would say that the request has started.
            return [TokenEvent(NO_TOKEN if finish else 0, finish=finish, text=text)]
        return self._of_tokens(tokens, choice, finish)

    def _of_tokens(self, tokens: list[int], choice: Json, finish: Any) -> list[TokenEvent]:
        """The text belongs to the last token of the piece."""
        logprobs = _logprobs(choice, len(tokens), self._request.params.logprobs)
        last = len(tokens) - 1
        ends = self._facts.eos_token_ids | self._request.params.stop_token_ids
        return [
            TokenEvent(
                token,
                finish=finish if i == last else None,
                is_stop_token=i == last and finish == "stop" and token in ends,
                text=str(choice.get("text") or "") if i == last else "",
                logprob=logprobs[i],
            )
            for i, token in enumerate(tokens)
        ]


def _logprobs(choice: Json, count: int, wanted: int | None) -> list[TokenLogprob | None]:
    """`return_tokens_as_token_ids` names tokens `token_id:123`."""
    found = choice.get("logprobs") or {}
    chosen, tops = found.get("token_logprobs") or [], found.get("top_logprobs") or []
    if wanted is None or len(chosen) != count:
        return [None] * count
    return [
        TokenLogprob(float(value), _top(tops[i] if i < len(tops) else {}, wanted))
        for i, value in enumerate(chosen)
    ]


def _top(document: Json | None, wanted: int) -> tuple[tuple[int, float], ...]:
    pairs = [
        (int(name.removeprefix("token_id:")), float(value))
        for name, value in (document or {}).items()
        if name.startswith("token_id:")
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair[1])[:wanted])


def _precision(spec: ServeSpec) -> list[str]:
    match spec.precision:
        case "bf16":
            return ["--dtype", "bfloat16"]
        case "fp16":
            return ["--dtype", "float16"]
        case "fp32":
            return ["--dtype", "float32"]
        case "4bit" | "8bit":
            return ["--quantization", "bitsandbytes"]
        case _:
            return ["--dtype", "auto"]


def _version(python: str) -> str:
    try:
        found = subprocess.run(
            [python, "-c", _VERSION_CODE], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise AppError(ErrorCode.EXTERNAL_ENGINE_FAILED, engine="vLLM", detail=str(e)) from e
    if found.returncode:
        raise AppError(ErrorCode.EXTERNAL_ENGINE_MISSING, engine="vLLM", path=python)
    return found.stdout.strip()


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split(".")[:3]
    return tuple(int("".join(c for c in p if c.isdigit()) or 0) for p in parts)


def _config(model: Path) -> Json:
    try:
        found: Json = json.loads((model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
