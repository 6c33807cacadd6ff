"""lm-evaluation-harness itself against the real server process.

Needs its program (`pip install "lm-eval[api]" transformers`, in any environment): `lm_eval` on the
PATH, or named by `LM_EVAL`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from tests.e2e.serve_process import serving
from tests.tiny_models import build_tiny

TASK = """
task: deck
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
target_delimiter: ""
metric_list: [{{metric: acc}}]
"""
ROWS = [
    {"question": question, "choices": [" dog", " France", " list"], "answer": 1}
    for question in ("The quick brown fox jumps", "Paris is the capital of", "It returns a")
]


def harness() -> str:
    program = os.environ.get("LM_EVAL") or shutil.which("lm_eval")
    if program is None:
        pytest.skip("lm-evaluation-harness is not installed (see above)")
    return program


def test_the_harness_measures_what_the_model_says(tmp_path: Path) -> None:
    program = harness()
    model = build_tiny(tmp_path / "model", max_position_embeddings=2048)
    data = tmp_path / "rows.json"
    data.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    (tmp_path / "deck.yaml").write_text(TASK.format(data=data), encoding="utf-8")
    with serving(tmp_path / "home", model) as server:
        done = subprocess.run(
            [program, "--model", "local-completions", "--tasks", "deck", "--log_samples",
             "--include_path", str(tmp_path), "--output_path", str(tmp_path / "out"),
             "--model_args", f"model=tiny,base_url={server.url}/v1/completions,tokenizer={model},"
             "num_concurrent=2,max_length=1024"],
            env={**os.environ, "OPENAI_API_KEY": server.key, "HF_HUB_OFFLINE": "1"},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (samples,) = (tmp_path / "out").rglob("samples_deck_*.jsonl")
    found = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    assert len(found) == len(ROWS)
    for sample in found:
        scores = [float(response[0][0]) for response in sample["resps"]]
        assert scores == pytest.approx(in_process(model, sample["doc"]), rel=1e-3)


def in_process(model: Path, row: dict[str, Any]) -> list[float]:
    """The same sums from the model itself."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    found = []
    for choice in row["choices"]:
        context = tokenizer.encode(row["question"], add_special_tokens=False)
        whole = tokenizer.encode(row["question"] + choice, add_special_tokens=False)
        with torch.no_grad():
            logits = loaded(torch.tensor([whole])).logits[0, len(context) - 1 : -1]
        answer = torch.tensor(whole[len(context) :])[:, None]
        found.append(logits.log_softmax(-1).gather(1, answer).sum().item())
    return found
