"""What the demo does: model, data, recipe and questions. The same for window and terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import httpx

from core.catalog import Catalogue
from core.config.presets import train_preset
from core.config.train import TrainSpec
from core.datasets import DataFile, Sample, open_dataset, read_samples
from core.errors import AppError, ErrorCode
from core.paths import QUICK_DATASET
from core.supervisor import RunView

PRESET = "starter-demo"
TAUGHT = ("What does os.path.join do?", "git clone 命令有什么作用？")
MAX_ANSWER_TOKENS = 60
_LONGEST_QUESTION = 60
_REQUEST_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class DemoPlan:
    """Everything that is decided before the first step."""

    spec: TrainSpec
    taught: tuple[str, ...]
    """Questions of the training files, English first: after tuning it knows them."""
    held_out: tuple[str, ...]
    """Questions on what no training file mentions: there it shows only the manner."""
    train_samples: int

    @property
    def questions(self) -> tuple[str, ...]:
        """All, in the order in which they are asked."""
        return self.taught + self.held_out


def make_plan() -> DemoPlan:
    """The bundled starter, the part of the bundled data that it learns quickly, four questions.

    Raises:
        AppError: `data.*` or `file.damaged` when the bundled files are not whole.
    """
    data = open_dataset(QUICK_DATASET)
    trained = [_asked(sample) for file in data.train for sample in read_samples(file)]
    taught = tuple(q for q in TAUGHT if q in trained)
    held_out = _one_a_language(data.evals.get("accuracy", ()))
    values = train_preset(PRESET).over(
        {
            "model": Catalogue.load().models[0].id,
            "data": str(QUICK_DATASET),
            "name": "DeepDeck demo",
            "sample_prompts": taught + held_out,
        }
    )
    return DemoPlan(TrainSpec.parse(values), taught, held_out, len(trained))


def _one_a_language(files: Iterable[DataFile]) -> tuple[str, ...]:
    """The first short question in English and in Chinese."""
    chosen: dict[bool, str] = {}
    for asked in (_asked(sample) for file in files for sample in read_samples(file)):
        if 0 < len(asked) <= _LONGEST_QUESTION:
            chosen.setdefault(_is_chinese(asked), asked)
    return tuple(chosen[key] for key in sorted(chosen))


def _asked(sample: Sample) -> str:
    return sample.messages[0].content if sample.messages else ""


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
