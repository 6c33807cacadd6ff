"""Which engine a real server takes, by what it was given, and that each of them answers."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from core.protocol.commands import AdapterCommand
from tests.e2e.serve_process import ServerProcess, serving
from tests.faults.test_serve_engine_faults import send, until
from tests.tiny_gguf import build_tiny_gguf
from tests.tiny_models import build_tiny, tiny_tokenizer
from tests.unit.test_serve_engine import build_unusual, make_adapter

ASK = {"prompt": "Hello", "max_tokens": 6, "ignore_eos": True, "temperature": 0}


def answer(server: ServerProcess) -> str:
    with server.client() as client:
        response = client.post("/v1/completions", json=ASK)
    assert response.status_code == 200, response.text
    assert response.json()["usage"]["completion_tokens"] == 6
    return str(response.json()["choices"][0]["text"])


@pytest.mark.parametrize("arch", ["llama", "deepseek_v2"])
def test_the_native_engine_and_transformers_say_the_same_and_why_they_serve(
    arch: str, tmp_path: Path
) -> None:
    model = build_tiny(tmp_path / arch, arch)
    said = []
    for engine in ("auto", "transformers"):
        with serving(tmp_path / engine, model, engine=engine) as server:
            ready = server.state.ready
            said.append((ready.engine, ready.engine_reason, answer(server)))
            assert (ready.precision, ready.precision_reason) == ("fp32", "fp32_on_processor")
            assert ready.cache_tokens > 0
            assert ready.max_batch_size > 0
    assert said[0][2] == said[1][2]
    assert [s[:2] for s in said] == [("native", "native_suits"), ("transformers", "as_chosen")]


def test_an_architecture_that_nobody_thought_of_is_served_by_transformers(tmp_path: Path) -> None:
    model = build_unusual(tmp_path / "gpt2", "gpt2")
    tiny_tokenizer().save_pretrained(model)
    with serving(tmp_path, model) as server:
        ready = server.state.ready
        assert (ready.engine, ready.engine_reason) == ("transformers", "native_unsuited")
        assert ready.engine_params == {"why": "architecture gpt2"}
        answer(server)


def test_a_gguf_file_is_served_though_the_front_has_no_torch(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    model = build_tiny_gguf(tmp_path / "gguf")
    with serving(tmp_path, model) as server:
        answer(server)
        phases = [e for e in server.events if e.kind == "run.phase" and e.fraction]
        assert [e.fraction for e in phases] == sorted(e.fraction for e in phases)


def test_an_adapter_that_the_native_engine_refuses_is_served_by_transformers(
    tmp_path: Path,
) -> None:
    model = build_tiny(tmp_path / "llama", "llama")
    adapter = make_adapter(model, tmp_path / "fine", use_dora=True)
    with serving(tmp_path, model, adapter=str(adapter)) as server:
        ready = server.state.ready
        assert (ready.engine, ready.engine_reason) == ("transformers", "native_refused")
        assert ready.engine_params["why"]
        assert ready.adapters == ("tiny:fine",)
        answer(server)
    with serving(tmp_path / "native", model, engine="native") as server:
        command = AdapterCommand(load=str(adapter))
        send(server, command)
        until(server, lambda: command.command_id in server.state.acknowledged)
        refused = [e for e in server.events if e.kind == "command.acknowledged"]
        assert [(e.accepted, e.detail) for e in refused] == [(False, "adapter.unsupported")]
        answer(server)
