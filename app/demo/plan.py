"""What the demo does: model, data, recipe and questions. The same for window and terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from core.catalog import Catalogue
from core.config.presets import train_preset
from core.config.train import TrainSpec
from core.datasets import open_dataset, read_samples
from core.errors import AppError, ErrorCode
from core.paths import SAMPLE_DATASET
from core.supervisor import RunView

PRESET = "starter-demo"
MAX_ANSWER_TOKENS = 60
_LONGEST_QUESTION = 60
_REQUEST_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class DemoPlan:
    """Everything that is decided before the first step."""

    spec: TrainSpec
    questions: tuple[str, ...]
    """Held-out ones: the model never trains on them."""
    train_samples: int


def make_plan() -> DemoPlan:
    """The bundled starter, the bundled data, and one held-out question a language.

    Raises:
        AppError: `data.*` or `file.damaged` when the bundled files are not whole.
    """
    data = open_dataset(SAMPLE_DATASET)
    questions = _questions(data.evals)
    values = train_preset(PRESET).over(
        {
            "model": Catalogue.load().models[0].id,
            "data": str(SAMPLE_DATASET),
            "name": "DeepDeck demo",
            "sample_prompts": questions,
        }
    )
    train_samples = sum(1 for file in data.train for _ in read_samples(file))
    return DemoPlan(TrainSpec.parse(values), questions, train_samples)


def _questions(evals: dict[str, Any]) -> tuple[str, ...]:
    """The first short question in English and in Chinese of the accuracy split."""
    chosen: dict[bool, str] = {}
    for file in evals.get("accuracy", ()):
        for sample in read_samples(file):
            asked = sample.messages[0].content if sample.messages else ""
            if 0 < len(asked) <= _LONGEST_QUESTION:
                chosen.setdefault(_is_chinese(asked), asked)
    return tuple(chosen[key] for key in sorted(chosen))


def _is_chinese(text: str) -> bool:
    return any("\u4e00" <= c <= "\u9fff" for c in text)


def ask(url: str, api_key: str, model: str, question: str) -> str:
    """The model's answer over real HTTP, without chance (temperature 0).

    Raises:
        AppError: `model.load_failed` with what the server said.
    """
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": MAX_ANSWER_TOKENS,
    }
    try:
        answer = httpx.post(
            f"{url}/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=_REQUEST_TIMEOUT_S,
            trust_env=False,  # a proxy has no business between us and our own server
        )
        answer.raise_for_status()
        return str(answer.json()["choices"][0]["message"]["content"]).strip()
    except (httpx.HTTPError, KeyError, IndexError, ValueError) as e:
        raise AppError(ErrorCode.MODEL_LOAD_FAILED, model=model, detail=str(e)) from e


def error_of(view: RunView) -> AppError:
    """Why a run ended otherwise than it should."""
    if view.error is None:
        return AppError(ErrorCode.WORKER_LOST, run_id=view.run_id, detail=view.status)
    known = {c.value for c in ErrorCode}
    code = ErrorCode(view.error.code) if view.error.code in known else ErrorCode.INTERNAL
    facts = {k: v for k, v in view.error.params.items() if k != "detail"}
    detail = view.error.detail or str(view.error.params.get("detail", ""))
    return AppError(code, detail=detail, **facts)
