"""Other servers behind the gateway: llama.cpp's where it is installed, vLLM's by a stand-in."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from core.config.serve import ServeSpec
from core.protocol.events import ServeEngine
from tests.e2e.serve_process import serving
from workers.serve.engines.base import EngineError, SamplingParams, TokenEvent
from workers.serve.engines.remote import RemoteEngine

STAND_IN = Path(__file__).with_name("upstream_stand_in.py")
LLAMA_SERVER = os.environ.get("DEEPDECK_LLAMA_SERVER") or shutil.which("llama-server")
SMOLLM = Path.home() / ".cache/deepdeck-tests/models/smollm2-135m-instruct/model.gguf"


@pytest.fixture
def vllm_python(tmp_path: Path) -> str:
    """An interpreter that has "vLLM"."""
    path = tmp_path / "python"
    path.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = "-c" ]; then echo 0.32.0; exit; fi\n'
        f'shift 2; exec {sys.executable} {STAND_IN} "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


@asynccontextmanager
async def engine_of(
    model: Path, said: list[ServeEngine], **spec: object
) -> AsyncIterator[RemoteEngine]:
    spec = ServeSpec(model=str(model), **spec)
    engine = RemoteEngine(spec, core=spec.engine, on_change=said.append, first_wait_s=0.1)
    await engine.load(lambda *_: None)
    try:
        yield engine
    finally:
        await engine.unload()


async def answer(engine: RemoteEngine, prompt: list[int], tokens: int) -> list[TokenEvent]:
    ticket = engine.submit(prompt, SamplingParams(max_new_tokens=tokens), None)
    found: list[TokenEvent] = []
    while not found or found[-1].finish is None:
        found += await ticket.next_events()
    return found


def test_tokens_of_the_other_server_come_through(vllm_python: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with engine_of(tmp_path, [], engine="vllm", vllm_python=vllm_python) as engine:
            answers = await asyncio.gather(*(answer(engine, [1, 2], n) for n in (3, 5)))
            assert [[e.token for e in a] for a in answers] == [[10, 11, 12], [10, 11, 12, 13, 14]]
            assert "".join(e.text or "" for e in answers[0]) == "0 1 2 "
            assert engine.stats().running == 0

    asyncio.run(run())


def test_a_server_that_dies_is_started_again_and_its_answers_end_with_an_error(
    vllm_python: str, tmp_path: Path
) -> None:
    async def run() -> None:
        said: list[ServeEngine] = []
        async with engine_of(tmp_path, said, engine="vllm", vllm_python=vllm_python) as engine:
            with pytest.raises(EngineError):
                await answer(engine, [9], 3)
            for _ in range(400):
                if said and said[-1].state == "ready":
                    break
                await asyncio.sleep(0.05)
            assert [e.token for e in await answer(engine, [1], 2)] == [10, 11]
        assert next(e.state for e in said) == "crashed"

    asyncio.run(run())


@pytest.mark.parametrize("how", ["unload", "kill"])
def test_nothing_of_the_other_server_is_left(vllm_python: str, tmp_path: Path, how: str) -> None:
    async def run() -> list[psutil.Process]:
        async with engine_of(tmp_path, [], engine="vllm", vllm_python=vllm_python) as engine:
            assert engine.pid is not None
            mine = psutil.Process(engine.pid)
            children = mine.children(recursive=True)
            if how == "kill":
                mine.kill()
            return [mine, *children]

    left = asyncio.run(run())
    assert len(left) >= 2
    _, alive = psutil.wait_procs(left, timeout=10)
    assert not alive


@pytest.mark.skipif(LLAMA_SERVER is None, reason="llama-server is not installed")
@pytest.mark.skipif(not SMOLLM.is_file(), reason="SmolLM2 was not fetched")
def test_llama_cpp_answers_behind_the_gateway(tmp_path: Path) -> None:
    more = {"engine": "llama_cpp", "llama_server": LLAMA_SERVER, "max_batch_size": 2}
    with serving(tmp_path, SMOLLM, **more) as server, server.client() as client:
        ready = server.state.ready
        assert ready is not None
        assert "llama.cpp" in ready.engine
        messages = [{"role": "user", "content": "What is the capital of France?"}]
        body = {"messages": messages, "max_tokens": 24, "temperature": 0}
        reply = client.post("/v1/chat/completions", json=body).json()
        assert "Paris" in reply["choices"][0]["message"]["content"]
        schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}},
                  "required": ["city"]}  # fmt: skip
        form = {"type": "json_schema", "json_schema": {"name": "c", "schema": schema}}
        reply = client.post("/v1/chat/completions", json=body | {"response_format": form}).json()
        assert reply["choices"][0]["message"]["content"].lstrip().startswith("{")
