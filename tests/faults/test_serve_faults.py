"""What goes wrong around a server: killed, broken models, adapters that do not fit."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import httpx
import pytest

pytest.importorskip("torch")

from tests.e2e.serve_process import launch, serving
from tests.tiny_models import build_tiny
from tests.unit.test_serve_engine import make_adapter


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("model") / "llama", "llama")


def test_kill_9_breaks_open_requests_and_the_next_server_takes_the_same_port(
    tmp_path: Path, model: Path
) -> None:
    with serving(tmp_path, model) as server:
        port = int(server.url.rsplit(":", 1)[1])
        ended: list[str] = []

        def ask() -> None:
            body = {"prompt": "Hello", "max_tokens": 240, "ignore_eos": True, "n": 8}
            try:
                with server.client() as client:
                    for _ in range(50):
                        client.post("/v1/completions", json=body)
            except httpx.HTTPError as e:
                ended.append(type(e).__name__)

        asking = threading.Thread(target=ask)
        asking.start()
        server.wait("requests")
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        asking.join(30)
        assert len(ended) == 1
        assert not server.state.finished  # the supervisor's verdict says it
    with serving(tmp_path, model, port=port) as again:
        assert again.url.endswith(str(port))


def failed_with(server: object) -> str:
    assert server.process.wait(90) == 1, server.log  # type: ignore[attr-defined]
    state = server.state  # type: ignore[attr-defined]
    assert state.status == "failed"
    return state.error.code


def test_a_truncated_model_is_refused_by_name(tmp_path: Path) -> None:
    broken = build_tiny(tmp_path / "broken", "llama")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert failed_with(launch(tmp_path / "home", broken)) == "model.weights_damaged"


def test_a_model_that_is_gone_is_not_found(tmp_path: Path) -> None:
    assert failed_with(launch(tmp_path / "home", tmp_path / "none")) == "model.not_found"


def test_pickle_weights_are_never_loaded(tmp_path: Path) -> None:
    import torch

    folder = build_tiny(tmp_path / "pickle", "llama")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    assert failed_with(launch(tmp_path / "home", folder)) == "model.pickle_refused"


def test_an_adapter_of_another_width_does_not_fit(tmp_path: Path, model: Path) -> None:
    wide = build_tiny(tmp_path / "wide", "llama", hidden_size=64)
    adapter = make_adapter(wide, tmp_path / "adapter")
    server = launch(tmp_path / "home", model, adapter=str(adapter))
    assert failed_with(server) == "adapter.mismatch"


def test_an_adapter_without_weights_is_not_found(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    server = launch(tmp_path / "home", model, adapter=str(folder))
    assert failed_with(server) == "adapter.not_found"


def test_weights_that_are_not_numbers_are_told_at_the_start(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = build_tiny(tmp_path / "nan", "llama")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], float("nan"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    server = launch(tmp_path / "home", folder)
    assert failed_with(server) == "model.load_failed"
    assert "not finite" in str(server.state.error)


def test_a_stop_while_loading_ends_at_once(tmp_path: Path, model: Path) -> None:
    server = launch(tmp_path, model)
    while not server.state.phase:
        assert server.process.poll() is None, server.log
    assert server.stop() == 0
    assert server.state.status == "stopped"
