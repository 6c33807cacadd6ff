"""The API's front over an engine that says what it was told to: for tests of text and routes.

Engines have tests of their own; here the front is the thing under test, and it is the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from core.config.serve import ServeSpec
from tests.tiny_models import CONTEXT_TOKENS, VOCABULARY, tiny_tokenizer
from workers.serve.engines.base import (
    NO_TOKEN,
    AdapterChange,
    EngineError,
    EngineStats,
    Feature,
    ModelFacts,
    Progress,
    SamplingParams,
    Ticket,
    TokenEvent,
    TokenLogprob,
)
from workers.serve.http.api import build_app
from workers.serve.http.metrics import ServerMetrics
from workers.serve.http.state import Loaded, ServerState
from workers.serve.text.prompts import Prompter

KEY = "sk-test"
ALL: frozenset[Feature] = frozenset({"grammar", "prompt_logprobs", "embeddings"})
Script = Callable[[Ticket], Sequence[TokenEvent | EngineError]]


class ScriptedEngine:
    """Delivers what its script says, a bite of events at a time."""

    def __init__(self, script: Script, bite: int = 3) -> None:
        self._script, self._bite = script, bite
        self.tickets: list[Ticket] = []
        self.cancelled: list[Ticket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self, progress: Progress) -> ModelFacts:
        raise NotImplementedError

    def submit(
        self, prompt: list[int], params: SamplingParams, adapter: str | None, namespace: str = ""
    ) -> Ticket:
        ticket = Ticket(prompt, params, adapter)
        self.tickets.append(ticket)
        task = asyncio.ensure_future(self._play(ticket))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return ticket

    async def _play(self, ticket: Ticket) -> None:
        for number, event in enumerate(self._script(ticket), 1):
            if ticket in self.cancelled:
                return
            ticket.deliver(event)
            if number % self._bite == 0:
                await asyncio.sleep(0)

    def cancel(self, ticket: Ticket) -> None:
        self.cancelled.append(ticket)

    def stats(self) -> EngineStats:
        return EngineStats()

    async def change_adapters(self, change: AdapterChange) -> ModelFacts:
        raise NotImplementedError

    async def drain(self, limit_s: float) -> None: ...

    def end_all(self, reason: str) -> None: ...

    async def unload(self) -> None: ...


def facts(features: frozenset[Feature] = ALL, adapters: tuple[str | None, ...] = (None,)) -> Any:
    return ModelFacts(
        engine="scripted",
        device="cpu",
        dtype="fp32",
        vocab_size=VOCABULARY,
        max_context_tokens=CONTEXT_TOKENS,
        eos_token_ids=frozenset({2}),
        adapters=adapters,
        features=features,
    )


def saying(text: str, tokenizer: Any, *, finish: str = "stop", **first: Any) -> Script:
    """The tokens of a text, every one with logprobs when they were asked for."""
    tokens = tokenizer.encode(text, add_special_tokens=False)

    def script(ticket: Ticket) -> list[TokenEvent]:
        logprob = None
        if ticket.params.logprobs is not None:
            logprob = TokenLogprob(-0.5, ((5, -0.5), (6, -1.5))[: ticket.params.logprobs])
        found = [TokenEvent(t, logprob=logprob) for t in tokens]
        if finish == "stop":
            found.append(TokenEvent(2, "stop", is_stop_token=True))
        else:
            found[-1] = TokenEvent(tokens[-1], "length", logprob=logprob)
        if first:
            found[0] = TokenEvent(found[0].token, found[0].finish, logprob=logprob, **first)
        return found

    return script


def nothing(**fields: Any) -> Script:
    """One event without a token: embeddings, or a prompt that was only scored."""
    return lambda _: [TokenEvent(NO_TOKEN, "length", **fields)]


class Front:
    """The whole application, guards included."""

    def __init__(self, script: Script | None = None, tokenizer: Any = None, **options: Any) -> None:
        self.tokenizer = tokenizer or tiny_tokenizer()
        self.engine = ScriptedEngine(script or saying("Hello there", self.tokenizer))
        self.events: list[Any] = []
        features = options.pop("features", ALL)
        adapters = options.pop("adapters", (None,))
        spec = ServeSpec(model="tiny", **options)
        self.state = ServerState(
            spec, ServerMetrics("tiny", spec.queue_limit), on_request=self.events.append
        )
        ids = {(f"tiny:{a}" if a else "tiny"): a for a in adapters}
        prompter = Prompter(self.tokenizer)
        self.state.loaded = Loaded(self.engine, prompter, facts(features, adapters), ids)
        self.state.phase = "ready"
        self.app = build_app(self.state, KEY)

    def ask(self, path: str, body: Any = None, method: str = "POST", **more: Any) -> httpx.Response:
        """One request with the key."""

        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            headers = {"Authorization": f"Bearer {KEY}"}
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost", headers=headers
            ) as client:
                return await client.request(method, path, json=body, **more)

        return asyncio.run(go())

    def chat(self, content: str = "Hi", **more: Any) -> httpx.Response:
        return self.ask(
            "/v1/chat/completions", {"messages": [{"role": "user", "content": content}], **more}
        )
