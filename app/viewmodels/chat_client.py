"""The chat's HTTP: streams of a local API, and what it says when it says no. No widgets in here."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

_CONNECT_S = 10.0
_NUMBER = re.compile(r"\d+")
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
UNREACHABLE = "unreachable"
BROKEN = "broken"


@dataclass(frozen=True)
class Target:
    """Somebody to ask: a public model name of a running server."""

    url: str
    key: str
    model: str
    run_id: str = ""
    thinking: str | None = None
    """Name of the template's switch for thinking."""

    @property
    def port(self) -> str:
        """Tells servers of the same model apart."""
        return self.url.rpartition(":")[2]


@dataclass(frozen=True)
class Problem:
    """Why there is no (whole) answer: what the page turns into plain words.

    `code` is the API's, or `unreachable` (nobody listens), `broken` (the stream ended early).
    """

    code: str
    words: str = ""
    """As the server said it."""
    status: int = 0
    retry_after_s: float | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        """The figures in the server's words: of a prompt too long, its tokens and the room."""
        return tuple(int(n) for n in _NUMBER.findall(self.words))


class ApiFailed(Exception):
    """The API said no, or nothing."""

    def __init__(self, words: str, problem: Problem | None = None) -> None:
        super().__init__(words)
        self.problem = problem or Problem("", words)


async def sse_documents(
    target: Target, path: str, body: dict[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """The JSON documents of a streamed answer; a stream that ends without its last word failed.

    Raises:
        ApiFailed: with the server's own words, or those of the connection.
    """
    async with _client(target, timeout_s=None) as client, _connection() as seen:
        async with client.stream("POST", f"{target.url}{path}", json=body) as response:
            if response.status_code != 200:
                raise _refused(response, await response.aread())
            done, failed = False, None
            # Read to the end, also behind an error or the last word: a stream that is left in the
            # middle is closed by the garbage collector, where no loop runs.
            async for line in response.aiter_lines():
                done = done or line.startswith("data: [DONE]")
                if failed is None and line.startswith("data: {"):
                    seen.append(True)
                    found = json.loads(line.removeprefix("data: "))
                    if error := found.get("error"):
                        failed = _said(error)
                    else:
                        yield found
        if failed is not None:
            raise failed
        if not done:
            raise ApiFailed("the stream ended early", Problem(BROKEN))


async def post_json(target: Target, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """One question, one document.

    Raises:
        ApiFailed: as `sse_documents`.
    """
    async with _client(target, timeout_s=60.0) as client, _connection():
        response = await client.post(f"{target.url}{path}", json=body)
        if response.status_code != 200:
            raise _refused(response, response.content)
        found = response.json()
        return found if isinstance(found, dict) else {}


async def model_names(target: Target) -> list[str]:
    """Names that a server answers to, its default first.

    Raises:
        ApiFailed: it does not answer.
    """
    async with _client(target, timeout_s=_CONNECT_S) as client, _connection():
        response = await client.get(f"{target.url}/v1/models")
        if response.status_code != 200:
            raise _refused(response, response.content)
        try:
            return [str(m["id"]) for m in response.json()["data"]]
        except (ValueError, KeyError, TypeError) as e:
            raise ApiFailed(str(e)) from e


def _client(target: Target, timeout_s: float | None) -> httpx.AsyncClient:
    import httpx  # 0.1 s, so not before the first question

    headers = {"Authorization": f"Bearer {target.key}"}
    timeout = httpx.Timeout(timeout_s, connect=_CONNECT_S)
    # Not through a proxy of the environment: the API is on this machine.
    return httpx.AsyncClient(timeout=timeout, trust_env=False, headers=headers)


@asynccontextmanager
async def _connection() -> AsyncIterator[list[bool]]:
    """Failures of the connection as `ApiFailed`; what is yielded notes whether anything came."""
    import httpx

    seen: list[bool] = []
    try:
        yield seen
    except httpx.HTTPError as e:
        code = BROKEN if seen or not isinstance(e, httpx.ConnectError) else UNREACHABLE
        words = str(e) or type(e).__name__
        raise ApiFailed(words, Problem(code, words)) from e


def _said(error: Any) -> ApiFailed:
    known = error if isinstance(error, dict) else {}
    words = str(known.get("message") or error)
    return ApiFailed(words, Problem(str(known.get("code") or BROKEN), words))


def _refused(response: httpx.Response, body: bytes) -> ApiFailed:
    try:
        error = json.loads(body)["error"]
        words, code = str(error["message"]), str(error.get("code") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        words, code = f"HTTP {response.status_code}", ""
    problem = Problem(code, words, response.status_code, _retry_after(response))
    return ApiFailed(words, problem)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; the other form of the header, a date, is not what a local API sends."""
    try:
        return max(0.0, float(response.headers.get("Retry-After", "")))
    except ValueError:
        return None
