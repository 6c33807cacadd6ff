"""An adapter over a base model without a chat template is chatted with, from training to HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.e2e.serve_process import serving
from tests.tiny_models import build_tiny
from tests.unit.test_serve_engine import make_adapter
from workers.train.chat import FALLBACK_TEMPLATE

CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4, "ignore_eos": True}


def test_a_chat_over_a_base_without_template_uses_the_adapters(tmp_path: Path) -> None:
    model = build_tiny(tmp_path / "base", template="none")
    adapter = make_adapter(model, tmp_path / "law")
    (adapter / "chat_template.jinja").write_text(FALLBACK_TEMPLATE, encoding="utf-8")
    with serving(tmp_path, model, adapter=str(adapter)) as server, server.client() as client:
        for name in ("tiny:law", "law", "tiny"):
            answer = client.post("/v1/chat/completions", json=CHAT | {"model": name})
            assert answer.status_code == 200, answer.text
            assert answer.json()["usage"]["completion_tokens"] == 4
