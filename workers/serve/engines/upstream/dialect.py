"""What differs between the servers that can stand behind the gateway."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from core.config.serve import ServeSpec
from workers.serve.engines.base import ModelFacts, Request, SamplingParams, TokenEvent

Json = dict[str, Any]


@dataclass(frozen=True)
class Launch:
    """How the child is started. The key goes through the environment: others can read argv."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


class Reader(Protocol):
    """Turns one answer's stream into token events."""

    def events(self, document: Json) -> list[TokenEvent]:
        """What one `data:` document says. The last event of an answer has its finish."""


class Dialect(Protocol):
    """One kind of server."""

    name: str
    path: str
    """The route that continues a list of tokens."""

    def check(self, spec: ServeSpec) -> None:
        """See that it is there, new enough and suits the model. Runs the program for its version.

        Raises:
            AppError: `serve.external_missing`, `serve.external_old`, `serve.engine_unavailable`.
        """

    def launch(self, spec: ServeSpec, port: int, key: str) -> Launch:
        """The command that serves the spec's model on the port."""

    def facts(self, spec: ServeSpec, documents: Mapping[str, Json]) -> ModelFacts:
        """From what `facts_paths` answered."""

    @property
    def facts_paths(self) -> tuple[str, ...]:
        """What is asked once it is ready."""

    def body(self, request: Request) -> Json:
        """What is posted for one answer; always a stream."""

    def reader(self, request: Request, facts: ModelFacts) -> Reader:
        """For one answer."""


def number_of_seed(seed: str | None) -> int | None:
    """Seeds here are words (`4:1` is the second choice of seed 4); these servers want 31 bits."""
    if seed is None:
        return None
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "little") >> 1


def is_schema(params: SamplingParams) -> bool:
    """Whether the grammar is one that other servers know: a JSON schema or any JSON object."""
    return params.grammar is not None and params.grammar.lstrip().startswith(("{", "json_object"))
