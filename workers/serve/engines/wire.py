"""What goes through the frames, as JSON: requests and events of `base.py`, briefly written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from core.errors import AppError, ErrorCode, ErrorInfo
from workers.serve.engines.base import (
    AdapterChange,
    EngineError,
    EngineStats,
    ModelFacts,
    Output,
    Request,
    SamplingParams,
    TokenEvent,
    TokenLogprob,
)

_DEFAULTS = {f.name: f.default for f in fields(SamplingParams)}


def request_out(request: Request) -> dict[str, Any]:
    """A request; parameters at their defaults are left out."""
    params = {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, default in _DEFAULTS.items()
        if (value := getattr(request.params, name)) != default
    }
    return {
        "id": request.id,
        "prompt": request.prompt,
        "params": params,
        "adapter": request.adapter,
        "namespace": request.namespace,
    }


def request_in(message: Mapping[str, Any]) -> Request:
    """See `request_out`."""
    params = dict(message["params"])
    if "stop_token_ids" in params:
        params["stop_token_ids"] = frozenset(params["stop_token_ids"])
    if "logit_bias" in params:
        params["logit_bias"] = tuple((int(t), float(b)) for t, b in params["logit_bias"])
    return Request(
        id=message["id"],
        prompt=message["prompt"],
        params=SamplingParams(**params),
        adapter=message["adapter"],
        namespace=message["namespace"],
    )


def outputs_out(outputs: Iterable[Output]) -> list[list[Any]]:
    """`[id, token]`, `[id, token, more]` or `[id, null, error]`."""
    return [_output_out(number, item) for number, item in outputs]


def outputs_in(items: Iterable[list[Any]]) -> list[Output]:
    """See `outputs_out`."""
    return [_output_in(item) for item in items]


def _output_out(number: int, item: TokenEvent | EngineError) -> list[Any]:
    if isinstance(item, EngineError):
        return [number, None, str(item)]
    more: dict[str, Any] = {}
    if item.finish is not None:
        more["finish"] = item.finish
    if item.is_stop_token:
        more["is_stop_token"] = True
    if item.logprob is not None:
        more["logprob"] = _logprob_out(item.logprob)
    if item.text is not None:
        more["text"] = item.text
    if item.cached_tokens:
        more["cached_tokens"] = item.cached_tokens
    if item.queue_ms is not None:
        more["queue_ms"] = round(item.queue_ms, 3)
    if item.prompt_logprobs is not None:
        more["prompt_logprobs"] = [p and _logprob_out(p) for p in item.prompt_logprobs]
    if item.embedding is not None:
        more["embedding"] = item.embedding
    return [number, item.token, more] if more else [number, item.token]


def _output_in(item: list[Any]) -> Output:
    number, token, *rest = item
    if token is None:
        return number, EngineError(rest[0])
    if not rest:
        return number, TokenEvent(token)
    more = dict(rest[0])
    if "logprob" in more:
        more["logprob"] = _logprob_in(more["logprob"])
    if "prompt_logprobs" in more:
        more["prompt_logprobs"] = tuple(p and _logprob_in(p) for p in more["prompt_logprobs"])
    if "embedding" in more:
        more["embedding"] = tuple(more["embedding"])
    return number, TokenEvent(token, **more)


def _logprob_out(logprob: TokenLogprob) -> list[Any]:
    return [logprob.chosen, logprob.top]


def _logprob_in(pair: list[Any]) -> TokenLogprob:
    return TokenLogprob(pair[0], tuple((t, v) for t, v in pair[1]))


def facts_out(facts: ModelFacts) -> dict[str, Any]:
    """Facts of a loaded model."""
    sets = {"eos_token_ids": sorted(facts.eos_token_ids), "features": sorted(facts.features)}
    return asdict(facts) | sets


def facts_in(message: Mapping[str, Any]) -> ModelFacts:
    """See `facts_out`."""
    return ModelFacts(
        **{
            **message,
            "eos_token_ids": frozenset(message["eos_token_ids"]),
            "features": frozenset(message["features"]),
            "adapters": tuple(message["adapters"]),
        }
    )


def stats_out(stats: EngineStats) -> dict[str, Any]:
    """State of the engine."""
    return asdict(stats)


def stats_in(message: Mapping[str, Any]) -> EngineStats:
    """See `stats_out`; fields of another version are left out."""
    known = {f.name for f in fields(EngineStats)}
    return EngineStats(**{k: v for k, v in message.items() if k in known})


def change_out(change: AdapterChange) -> dict[str, Any]:
    """A change of adapters."""
    return asdict(change)


def change_in(message: Mapping[str, Any]) -> AdapterChange:
    """See `change_out`."""
    load = tuple((name, folder) for name, folder in message["load"])
    return AdapterChange(load=load, unload=tuple(message["unload"]))


def error_out(info: ErrorInfo) -> dict[str, Any]:
    """Why a load or a change failed."""
    return info.model_dump(mode="json")


def error_in(message: Mapping[str, Any]) -> AppError:
    """See `error_out`; a code that this version does not know becomes `serve.engine_failed`."""
    info = ErrorInfo.model_validate(message)
    try:
        code = ErrorCode(info.code)
    except ValueError:
        return AppError(ErrorCode.ENGINE_FAILED, detail=f"{info.code} {info.detail}".strip())
    params = {name: value for name, value in info.params.items() if name != "detail"}
    return AppError(code, detail=info.detail or str(info.params.get("detail", "")), **params)
