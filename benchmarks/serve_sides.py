"""The servers that are measured beside each other, each a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


@dataclass(frozen=True)
class Side:
    """A server that answers."""

    url: str
    key: str
    pid: int
    seconds_to_ready: float
    facts: str = ""


@contextmanager
def process(
    command: list[str], env: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        running = subprocess.Popen(
            command, env={**os.environ, **env}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(60)
        except subprocess.TimeoutExpired:  # `transformers serve` may not end for minutes
            os.killpg(running.pid, signal.SIGKILL)
            running.wait(30)


@contextmanager
def deepdeck(folder: Path, model: Path, **spec: Any) -> Iterator[Side]:
    """The project's own server, as its launcher starts it."""
    from core.config.serve import ServeSpec
    from core.paths import Home
    from core.runlog.run_dir import RunDir
    from core.runlog.state import RunState, fold
    from core.runlog.tail import LogTail
    from core.secrets import api_key

    home = Home(folder / "home")
    values = {"model": str(model.resolve()), "port": 0, "queue_limit": 4096} | spec
    document = {"v": 1, "job": "serve", "spec": ServeSpec(**values).model_dump(mode="json")}
    run = RunDir.create(home.runs, f"bench-{time.time_ns()}", document)
    paths = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    env = {"DEEPDECK_HOME": str(home.root), "PYTHONPATH": paths, **PASSIVE}
    start = time.perf_counter()
    with process([sys.executable, "-m", "workers.serve", str(run.path)], env, run.output_log) as p:
        while True:
            state = fold(RunState(), LogTail(run.events).read(1 << 26).events)
            if state.ready:
                break
            if p.poll() is not None or state.finished:
                raise RuntimeError(run.output_log.read_text()[-3000:] + str(state.error))
            time.sleep(0.1)
        ready = state.ready
        facts = (f"{ready.engine} {ready.precision or ready.dtype} on {ready.device}, "
                 f"{ready.cache_tokens} tokens of cache, {ready.max_batch_size} rows")  # fmt: skip
        yield Side(ready.url, api_key(home), p.pid, time.perf_counter() - start, facts)


@contextmanager
def locked_generate(model: Path, device: str, log: Path) -> Iterator[Side]:
    """FastAPI around `model.generate` behind a lock, as most tutorials have it."""
    port = free_port()
    command = [sys.executable, __file__, str(model), str(port), device]
    with process(command, PASSIVE, log) as p:
        url = f"http://127.0.0.1:{port}"
        yield Side(url, "none", p.pid, _wait(url + "/health", p, log))


@contextmanager
def transformers_serve(model: Path, device: str, log: Path) -> Iterator[Side]:
    """`transformers serve --continuous-batching`; its model name is the folder."""
    port = free_port()
    program = Path(sys.executable).with_name("transformers")
    command = [str(program), "serve", str(model), "--continuous-batching", "--device", device,
               "--port", str(port), "--attn-implementation", "sdpa"]  # fmt: skip
    with process(command, {**PASSIVE, "HF_HUB_OFFLINE": "1"}, log) as p:
        url = f"http://127.0.0.1:{port}"
        yield Side(url, "none", p.pid, _wait(url + "/health", p, log))


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> float:
    start = time.perf_counter()
    while True:
        try:
            if httpx.get(url, timeout=5, trust_env=False).status_code == 200:
                return time.perf_counter() - start
        except httpx.HTTPError:
            pass
        if server.poll() is not None:
            raise RuntimeError(log.read_text(errors="replace")[-3000:])
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def load_apart(side: Side, **load: Any) -> dict[str, float]:
    """Run the load generator in a process of its own, so that it shares no interpreter."""
    command = [sys.executable, str(Path(__file__).with_name("serve_load.py")), side.url, "--json"]
    for name, value in {"key": side.key, **load}.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            command.append(flag)
        elif value is not False:
            command += [flag, str(value)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=540)
    if found.returncode:
        raise RuntimeError(found.stderr[-2000:])
    result: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return result


def line(name: str, figures: dict[str, Any]) -> str:
    law = f"Poisson {figures['rate']:g}/s" if figures["rate"] else f"{figures['clients']} clients"
    return (
        f"{name:26} {law:13} {figures['prompt_tokens']:4}+{figures['new_tokens']:<4}"
        f"{figures['requests_per_second']:8.2f} req/s {figures['tokens_per_second']:8.0f} tok/s | "
        f"first token P50 {figures['ttft_p50_ms']:7.0f} P99 {figures['ttft_p99_ms']:7.0f} ms | "
        f"whole P50 {figures['total_p50_ms']:7.0f} P99 {figures['total_p99_ms']:7.0f} ms | "
        f"refused {figures['refused']} failed {figures['failed']}"
    )


def _serve_locked(model_path: str, port: int, device: str) -> None:
    import threading

    import torch
    import uvicorn
    from fastapi import FastAPI
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = device if device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if where.startswith("cuda") else torch.float32
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=dtype).to(where).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    app, lock = FastAPI(), threading.Lock()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {}

    @app.post("/v1/completions")
    def completions(body: dict) -> dict[str, Any]:  # type: ignore[type-arg]
        prompt = body["prompt"]
        ids = torch.tensor([tokenizer.encode(prompt) if isinstance(prompt, str) else prompt])
        ids, tokens = ids.to(where), int(body["max_tokens"])
        with lock, torch.inference_mode():
            out = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
                min_new_tokens=tokens, max_new_tokens=tokens, pad_token_id=0,
            )  # fmt: skip
        text = tokenizer.decode(out[0, ids.shape[1] :])
        return {"choices": [{"text": text}], "usage": {"completion_tokens": tokens}}

    uvicorn.run(app, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    _serve_locked(sys.argv[1], int(sys.argv[2]), sys.argv[3])
