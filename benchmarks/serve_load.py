"""A load generator for completions over HTTP: plain sockets, so that it is not what is measured.

    python benchmarks/serve_load.py URL --key K --rate 50 --requests 500    # Poisson arrivals
    python benchmarks/serve_load.py URL --key K --clients 64 --requests 256 # a closed loop

An open loop keeps its rate however slow the server is; that is what users do. Latencies are of
the client: from the first byte sent to the first token, and to the last byte.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Load:
    """What is sent. `rate` > 0: Poisson arrivals a second; else `clients` that always wait."""

    requests: int
    clients: int = 8
    rate: float = 0.0
    prompt_tokens: int = 128
    new_tokens: int = 32
    vocabulary: int = 300
    """Prompts are random ids from 10 to this: no two share a prefix."""
    seed: int = 1
    stream: bool = True
    route: str = "/v1/completions"
    key: str = ""
    model: str = ""
    plain: bool = False
    """Text instead of token ids and no field beyond OpenAI's: some servers refuse the others."""


@dataclass
class Figures:
    """Of one load."""

    completed: int = 0
    refused: int = 0
    failed: int = 0
    seconds: float = 0.0
    output_tokens: int = 0
    ttft_ms: list[float] = field(default_factory=list)
    total_ms: list[float] = field(default_factory=list)

    def line(self, name: str, load: Load) -> str:
        law = f"Poisson {load.rate:g}/s" if load.rate else f"{load.clients} clients"
        return (
            f"{name:28} {law:13} {load.prompt_tokens:4}+{load.new_tokens:<4}"
            f"{self.completed / self.seconds:7.1f} req/s {self.output_tokens / self.seconds:7.0f}"
            f" tok/s | first token P50 {at(self.ttft_ms, 0.5):6.0f} P99 "
            f"{at(self.ttft_ms, 0.99):6.0f} ms | whole P50 {at(self.total_ms, 0.5):6.0f} P99 "
            f"{at(self.total_ms, 0.99):6.0f} ms | refused {self.refused} failed {self.failed}"
        )

    def summary(self) -> dict[str, float]:
        return {
            "completed": self.completed,
            "refused": self.refused,
            "failed": self.failed,
            "requests_per_second": self.completed / self.seconds,
            "tokens_per_second": self.output_tokens / self.seconds,
            "ttft_p50_ms": at(self.ttft_ms, 0.5),
            "ttft_p99_ms": at(self.ttft_ms, 0.99),
            "total_p50_ms": at(self.total_ms, 0.5),
            "total_p99_ms": at(self.total_ms, 0.99),
        }


def at(values: list[float], share: float) -> float:
    """Nearest-rank percentile."""
    ordered = sorted(values) or [float("nan")]
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def measure(url: str, load: Load) -> Figures:
    """Send the load and wait for all answers."""
    found, pool, draw = Figures(), _Pool(url), random.Random(load.seed)
    start = time.perf_counter()
    if load.rate:
        due, tasks = start, []
        for _ in range(load.requests):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(_ask(pool, load, _body(load, draw), found)))
            due += draw.expovariate(load.rate)
        await asyncio.gather(*tasks)
    else:
        left = iter(range(load.requests))

        async def one_client() -> None:
            for _ in left:
                await _ask(pool, load, _body(load, draw), found)

        await asyncio.gather(*(one_client() for _ in range(load.clients)))
    found.seconds = time.perf_counter() - start
    pool.close()
    return found


def _body(load: Load, draw: random.Random) -> bytes:
    prompt = [draw.randrange(10, load.vocabulary) for _ in range(load.prompt_tokens)]
    if load.plain:
        text = " ".join(str(n % 10) for n in prompt[: load.prompt_tokens // 2])
        return json.dumps({"model": load.model, "prompt": text, "max_tokens": load.new_tokens,
                           "temperature": 0, "stream": load.stream}).encode()  # fmt: skip
    document = {"prompt": prompt, "max_tokens": load.new_tokens, "temperature": 0,
                "ignore_eos": True, "stream": load.stream}  # fmt: skip
    if load.stream:
        document["stream_options"] = {"include_usage": True}
    return json.dumps(document).encode()


async def _ask(pool: _Pool, load: Load, body: bytes, found: Figures) -> None:
    start = time.perf_counter()
    try:
        status, first, tokens = await pool.post(load, body)
    except (OSError, asyncio.IncompleteReadError):
        found.failed += 1
        return
    end = time.perf_counter()
    if status in (429, 503):
        found.refused += 1
    elif status != 200 or not tokens:
        found.failed += 1
    else:
        found.completed += 1
        found.output_tokens += tokens
        found.ttft_ms.append(1000 * ((first or end) - start))
        found.total_ms.append(1000 * (end - start))


class _Pool:
    """Kept-alive connections."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, load: Load, body: bytes) -> tuple[int, float, int]:
        """Status, when the first piece came, and the tokens that the usage counts."""
        reader, writer = self._idle.pop() if self._idle else await self._open()
        writer.write(
            f"POST {load.route} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Authorization: Bearer {load.key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if b"chunked" in head.lower():
            first, tokens = await _events(reader)
        else:
            first, tokens = 0.0, _tokens_in(await reader.readexactly(_length(head)))
        self._idle.append((reader, writer))
        return status, first, tokens

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, limit=1 << 22)

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def _events(reader: asyncio.StreamReader) -> tuple[float, int]:
    first, tokens = 0.0, 0
    while size := int((await reader.readline()).split(b";")[0], 16):
        data = await reader.readexactly(size + 2)
        if not first and b"data: {" in data:
            first = time.perf_counter()
        if b'"usage"' in data and b'"completion_tokens"' in data:
            for line in data.split(b"\n"):
                if line.startswith(b"data: {"):
                    tokens = _tokens_in(line[6:]) or tokens
    await reader.readline()
    return first, tokens


def _length(head: bytes) -> int:
    line = next(x for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:"))
    return int(line.split(b":")[1])


def _tokens_in(document: bytes) -> int:
    usage = json.loads(document).get("usage") or {}
    return int(usage.get("completion_tokens") or 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--key", default="none")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--vocabulary", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--no-stream", dest="stream", action="store_false")
    parser.add_argument("--json", action="store_true", help="one line for programs")
    args = vars(parser.parse_args())
    url, as_json = args.pop("url"), args.pop("json")
    load = Load(**args)
    found = asyncio.run(measure(url, load))
    print(json.dumps({**asdict(load), **found.summary()}) if as_json else found.line("", load))


if __name__ == "__main__":
    main()
