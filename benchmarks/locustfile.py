"""Streamed chats for locust (https://locust.io, MIT; `pip install locust` in any environment).

    export OPENAI_API_KEY=...    # as the Deploy page shows it
    locust -f benchmarks/locustfile.py --host http://127.0.0.1:8000 \
        --headless --users 8 --spawn-rate 8 --run-time 30s --model NAME

Any server with OpenAI's routes will do. Rows of the table: `POST /v1/chat/completions` is the time
of whole answers, `TTFT first token` the time to the first text, `TPOT per token` the time a token
after it; the sizes of the latter two are tokens (of prompts, of answers), not bytes, and they are
left out of the line `Aggregated`, so that this counts each request once.

A user waits for its answer before it asks again, so a slow server is asked less (a closed loop).
For arrivals that do not wait: `python benchmarks/serve_load.py URL --rate 50`.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import locust
from locust import events, runners

ROUTE = "/v1/chat/completions"
TTFT = ("first token", "TTFT")
TPOT = ("per token", "TPOT")
WORDS = ("amber", "bridge", "cloud", "delta", "ember", "field", "garden", "harbor", "island",
         "jungle", "kettle", "lantern", "meadow", "north", "ocean", "paper")  # fmt: skip
_MS = 1000.0
_LEAST_PAUSE_S = 0.5
"""After a refusal, so that a wrong key makes no flood."""


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    """What can be set; the key comes by the environment, since others can read a command line."""
    parser.add_argument("--model", default="", help="public model name; empty: the default one")
    parser.add_argument("--prompt-words", type=int, default=96, help="random ones: no two alike")
    parser.add_argument("--answer-tokens", type=int, default=32, help="the most of an answer")
    parser.add_argument("--think-time", type=float, default=0.0, help="mean s between questions")
    parser.add_argument("--whole-answers", action="store_true", help="write to the length asked")


@dataclass
class Answer:
    """What was seen of one stream; times by `time.perf_counter`, in seconds."""

    asked: float
    first: float | None = None
    ended: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str = ""
    done: bool = False

    def read(self, event: dict[str, Any]) -> None:
        """One `data:` of the stream."""
        if "error" in event:
            self.error = str(event["error"].get("code") or event["error"].get("message"))
        if usage := event.get("usage"):
            self.prompt_tokens = int(usage["prompt_tokens"])
            self.completion_tokens = int(usage["completion_tokens"])
        for choice in event.get("choices", ()):
            delta = choice.get("delta", {})
            if self.first is None and (delta.get("content") or delta.get("reasoning_content")):
                self.first = time.perf_counter()


def data_of(lines: Iterator[bytes]) -> Iterator[bytes]:
    """What stands behind `data:`; pings and empty lines are left out."""
    for line in lines:
        if line.startswith(b"data: "):
            yield line[6:]


class Chatter(locust.HttpUser):
    """Somebody who asks, reads the answer as it comes, and asks the next thing."""

    def wait_time(self) -> float:
        """Seconds to the next question, drawn from an exponential distribution."""
        mean = self.environment.parsed_options.think_time
        return random.expovariate(1 / mean) if mean > 0 else 0.0

    @locust.task
    def chat(self) -> None:
        """One question and its answer."""
        answer = Answer(time.perf_counter())
        with self.client.post(
            ROUTE, json=self._question(), headers=_key(), stream=True, catch_response=True
        ) as response:
            if response.status_code != 200:
                response.failure(_refusal(response))
                time.sleep(max(_LEAST_PAUSE_S, _retry_after_s(response)))
                return
            self._read(response, answer)
            response.request_meta["response_time"] = _MS * (answer.ended - answer.asked)
            if answer.error or not answer.done:
                response.failure(answer.error or "the stream ended without [DONE]")
                return
        self._count(answer)

    def _question(self) -> dict[str, Any]:
        options = self.environment.parsed_options
        text = " ".join(random.choices(WORDS, k=options.prompt_words))
        body: dict[str, Any] = {
            "messages": [{"role": "user", "content": text}],
            "max_tokens": options.answer_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if options.model:
            body["model"] = options.model
        if options.whole_answers:
            body["ignore_eos"] = True  # DeepDeck and vLLM know it; others may refuse it
        return body

    def _read(self, response: Any, answer: Answer) -> None:
        for data in data_of(response.iter_lines(chunk_size=None)):
            if data == b"[DONE]":
                answer.done = True
                break
            answer.read(json.loads(data))
        answer.ended = time.perf_counter()

    def _count(self, answer: Answer) -> None:
        if answer.first is None:
            return
        stats = self.environment.stats
        ttft_ms = _MS * (answer.first - answer.asked)
        stats.get(*TTFT).log(ttft_ms, answer.prompt_tokens)
        spaces = max(1, answer.completion_tokens - 1)
        stats.get(*TPOT).log(_MS * (answer.ended - answer.first) / spaces, answer.completion_tokens)


@events.quitting.add_listener
def say_tokens(environment: Any, **_: Any) -> None:
    """What locust has no column for; by the process that has all figures."""
    if isinstance(environment.runner, runners.WorkerRunner):
        return
    stats = environment.stats
    seconds = max(1e-9, (stats.last_request_timestamp or 0) - stats.start_time)
    read, written = stats.get(*TTFT), stats.get(*TPOT)
    print(
        f"{written.num_requests} answers in {seconds:.1f} s: {written.num_requests / seconds:.1f} "
        f"requests/s, {written.total_content_length / seconds:.0f} tokens/s written, "
        f"{read.avg_content_length:.0f} tokens in, {written.avg_content_length:.0f} out on average"
    )


def _key() -> dict[str, str]:
    return {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}"}


def _refusal(response: Any) -> str:
    try:
        code = response.json()["error"].get("code") or ""
    except (ValueError, KeyError, AttributeError, TypeError):
        code = ""
    return f"{response.status_code} {code}".strip()


def _retry_after_s(response: Any) -> float:
    """As a polite client waits."""
    try:
        return min(30.0, float(response.headers.get("Retry-After", 0)))
    except ValueError:
        return 0.0
