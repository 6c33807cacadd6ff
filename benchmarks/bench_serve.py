"""QPS, time to first token and latency of the local API, beside the usual naive server.

    python benchmarks/bench_serve.py --model resources/models/deepdeck-starter --clients 8
    python benchmarks/bench_serve.py --shape 7b --clients 32 --rate 50      # needs a card

The baseline is FastAPI with `model.generate` behind a lock, as most tutorials have it. Both servers
are processes of their own; the load generator runs here. Closed loop: `--clients` always waiting.
Open loop: `--rate` requests a second, Poisson arrivals, so that a slow server cannot slow its load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SHAPES = {
    "tiny": {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4,
             "num_attention_heads": 8, "num_key_value_heads": 8},
    "1b": {"hidden_size": 2048, "intermediate_size": 5504, "num_hidden_layers": 24,
           "num_attention_heads": 16, "num_key_value_heads": 16},
    # DeepSeek-LLM-7B
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 30,
           "num_attention_heads": 32, "num_key_value_heads": 32},
}  # fmt: skip


@dataclass
class Answer:
    ttft_s: float
    total_s: float
    tokens: int


def main() -> None:
    args = arguments()
    if args.baseline_server:
        baseline_server(args.model, args.port, args.device)
        return
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as folder:
        model = Path(args.model) if args.model else random_model(Path(folder), args.shape)
        print(
            f"model {model.name if args.model else args.shape}, device {args.device}, "
            f"{args.prompt_tokens} tokens in, {args.new_tokens} out, {args.requests} requests"
        )
        if not args.skip_baseline:
            with baseline(model, args.device) as (url, key):
                asyncio.run(measure("baseline", url, key, args, closed=True))
        with deepdeck(Path(folder), model, args.device, args.batch) as (url, key):
            asyncio.run(measure("deepdeck", url, key, args, closed=True))
            if args.rate:
                asyncio.run(measure("deepdeck", url, key, args, closed=False))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="a model folder; else random weights of --shape")
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.0, help="also Poisson at this rate")
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--skip-baseline", action="store_true")
    parser.add_argument("--baseline-server", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


async def measure(name: str, url: str, key: str, args: argparse.Namespace, *, closed: bool) -> None:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
    headers = {"Authorization": f"Bearer {key}"}
    draw = random.Random(1)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, limits=limits, timeout=600, trust_env=False
    ) as client:
        await ask(client, args, draw)  # warm
        start = time.perf_counter()
        answers = await (closed_loop if closed else open_loop)(client, args, draw)
        report(name, answers, time.perf_counter() - start, args, closed=closed)


async def closed_loop(
    client: httpx.AsyncClient, args: argparse.Namespace, draw: random.Random
) -> list[Answer]:
    left = iter(range(args.requests))

    async def one_client() -> list[Answer]:
        return [await ask(client, args, draw) for _ in left]

    found = await asyncio.gather(*(one_client() for _ in range(args.clients)))
    return [a for answers in found for a in answers]


async def open_loop(
    client: httpx.AsyncClient, args: argparse.Namespace, draw: random.Random
) -> list[Answer]:
    tasks = []
    for _ in range(args.requests):
        tasks.append(asyncio.create_task(ask(client, args, draw)))
        await asyncio.sleep(draw.expovariate(args.rate))
    return await asyncio.gather(*tasks)


async def ask(client: httpx.AsyncClient, args: argparse.Namespace, draw: random.Random) -> Answer:
    prompt = [draw.randrange(10, 300) for _ in range(args.prompt_tokens)]
    body = {
        "prompt": prompt,
        "max_tokens": args.new_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    start = time.perf_counter()
    first, tokens = 0.0, 0
    async with client.stream("POST", "/v1/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                first = first or time.perf_counter()
                usage = json.loads(line[6:]).get("usage")
                tokens = usage["completion_tokens"] if usage else tokens
    end = time.perf_counter()
    return Answer((first or end) - start, end - start, tokens)


def report(
    name: str, answers: list[Answer], seconds: float, args: argparse.Namespace, *, closed: bool
) -> None:
    def at(values: list[float], share: float) -> float:
        return 1000 * sorted(values)[min(len(values) - 1, int(share * len(values)))]

    totals, firsts = [a.total_s for a in answers], [a.ttft_s for a in answers]
    law = f"closed loop, {args.clients} clients" if closed else f"Poisson, {args.rate:g}/s"
    print(
        f"{name:9} {law:28} {len(answers) / seconds:7.1f} req/s "
        f"{sum(a.tokens for a in answers) / seconds:8.0f} tok/s   "
        f"first token P50 {at(firsts, 0.5):6.0f} P99 {at(firsts, 0.99):6.0f} ms   "
        f"whole P50 {at(totals, 0.5):6.0f} P99 {at(totals, 0.99):6.0f} ms",
        flush=True,
    )


# -- servers ------------------------------------------------------------------------------------


def random_model(folder: Path, shape: str) -> Path:
    """Random weights of a known shape: behavior and speed, no sense."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    vocabulary = 102400 if shape == "7b" else 32000
    config = AutoConfig.for_model(
        "llama",
        vocab_size=vocabulary,
        max_position_embeddings=4096,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        **SHAPES[shape],
    )
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder / shape)
    word_tokenizer(vocabulary).save_pretrained(folder / shape)
    return folder / shape


def word_tokenizer(size: int) -> Any:
    """Every token is a word, so that every token shows in a stream."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(size)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="w1", eos_token="w2", pad_token="w0", unk_token="w0"
    )


@contextmanager
def process(
    command: list[str], env: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        running = subprocess.Popen(command, env={**os.environ, **env}, stdout=out, stderr=out)
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(60)


@contextmanager
def deepdeck(folder: Path, model: Path, device: str, batch: int) -> Iterator[tuple[str, str]]:
    from core.config.serve import ServeSpec
    from core.paths import Home
    from core.runlog.run_dir import RunDir
    from core.runlog.state import RunState, fold
    from core.runlog.tail import LogTail
    from core.secrets import api_key

    home = Home(folder / "home")
    spec = ServeSpec(
        model=str(model.resolve()), port=0, device=device, max_batch_size=batch, queue_limit=4096
    )
    document = {"v": 1, "job": "serve", "spec": spec.model_dump(mode="json")}
    run = RunDir.create(home.runs, "bench", document)
    paths = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    env = {"DEEPDECK_HOME": str(home.root), "PYTHONPATH": paths,
           "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}  # fmt: skip
    command = [sys.executable, "-m", "workers.serve", str(run.path)]
    with process(command, env, run.output_log) as server:
        while True:
            state = fold(RunState(), LogTail(run.events).read(1 << 26).events)
            if state.ready:
                break
            assert server.poll() is None, run.output_log.read_text()
            time.sleep(0.2)
        yield state.ready.url, api_key(home)


@contextmanager
def baseline(model: Path, device: str) -> Iterator[tuple[str, str]]:
    port = free_port()
    command = [sys.executable, __file__, "--baseline-server", "--model", str(model),
               "--port", str(port), "--device", device]  # fmt: skip
    log = Path(tempfile.gettempdir()) / f"bench-baseline-{os.getpid()}.log"
    with process(command, {"OMP_WAIT_POLICY": "PASSIVE"}, log) as server:
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                assert server.poll() is None, log.read_text()
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", "none"
    log.unlink(missing_ok=True)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def baseline_server(model_path: str, port: int, device: str) -> None:
    """What most tutorials show: one request at a time through `model.generate`."""
    import threading

    import torch
    import uvicorn
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse
    from transformers import AutoModelForCausalLM

    where = device if device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if where.startswith("cuda") else torch.float32
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=dtype).to(where).eval()
    app, lock = FastAPI(), threading.Lock()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {}

    @app.post("/v1/completions")
    def completions(body: dict) -> StreamingResponse:  # type: ignore[type-arg]
        ids = torch.tensor([body["prompt"]], device=where)
        tokens = body["max_tokens"]
        with lock, torch.inference_mode():
            model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
                min_new_tokens=tokens, max_new_tokens=tokens, pad_token_id=0,
            )  # fmt: skip
        line = "data: " + json.dumps({"usage": {"completion_tokens": tokens}}) + "\n\n"
        return StreamingResponse(iter([line, "data: [DONE]\n\n"]), media_type="text/event-stream")

    uvicorn.run(app, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
