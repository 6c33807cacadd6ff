"""OpenAI's own JavaScript client against the real server process.

Needs node and the npm package `openai`, in a folder that `NODE_PATH` names or installed globally:
`npm install openai --prefix somewhere`, `NODE_PATH=somewhere/node_modules`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from tests.e2e.serve_process import ServerProcess, serving
from tests.tiny_models import build_tiny

SCRIPT = Path(__file__).with_name("openai_client.cjs")


@pytest.fixture(scope="module")
def node() -> tuple[str, dict[str, str]]:
    """The program, and an environment in which it finds the client."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None:
        pytest.skip("node is not installed")
    places = [p for p in os.environ.get("NODE_PATH", "").split(os.pathsep) if p]
    if npm is not None:
        found = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=False)
        places.append(found.stdout.strip())
    if not any((Path(p) / "openai").is_dir() for p in places):
        pytest.skip("the npm package openai is not installed (see NODE_PATH above)")
    return program, {**os.environ, "NODE_PATH": os.pathsep.join(places)}


@pytest.fixture(scope="module")
def server(
    node: tuple[str, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("serve")
    model = build_tiny(folder / "model", "qwen2", max_position_embeddings=2048)
    with serving(folder / "home", model) as running:
        yield running


def test_the_javascript_client_reads_everything(
    node: tuple[str, dict[str, str]], server: ServerProcess
) -> None:
    program, environment = node
    done = subprocess.run(
        [program, str(SCRIPT), server.url, server.key],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["models"] == ["tiny"]
    assert found["streamed"] == found["whole"]
    assert found["call"] == found["streamed_call"]
    assert found["call"]["name"] == "get_time"
    assert json.loads(found["call"]["arguments"])["zone"] in ("UTC", "CET")
    assert (found["dimensions"], found["texts"]) == (32, 1)
    assert found["error"] == ["NotFoundError", 404, "model_not_found"]
