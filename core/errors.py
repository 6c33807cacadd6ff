"""Errors as values: a stable code, the facts that fill its text, and a cause.

`core` and `workers` speak codes; `app.messages` turns a code and its parameters into a sentence
and a hint in the user's language. A code is never renamed or reused.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

Param = str | int | float


class ErrorCode(StrEnum):
    """Every way DeepDeck can say no. Parameters of each code stand behind it."""

    # models
    MODEL_NOT_FOUND = "model.not_found"  # model
    MODEL_CONFIG_INVALID = "model.config_invalid"  # path, detail
    MODEL_WEIGHTS_MISSING = "model.weights_missing"  # path
    MODEL_WEIGHTS_DAMAGED = "model.weights_damaged"  # path, detail
    MODEL_PICKLE_REFUSED = "model.pickle_refused"  # path
    MODEL_CODE_REFUSED = "model.code_refused"  # path (remote code: auto_map or .py files)
    MODEL_UNSUPPORTED = "model.unsupported"  # path, architecture
    MODEL_LOAD_FAILED = "model.load_failed"  # model, detail
    MODEL_VOCABULARY_TOO_SMALL = "model.vocabulary_too_small"  # model, token_id, rows
    MODEL_TEMPLATE_BROKEN = "model.template_broken"  # detail
    MODEL_TOKENIZER_MISSING = "model.tokenizer_missing"  # path
    MODEL_FETCH_FAILED = "model.fetch_failed"  # model, detail
    MODEL_ALREADY_EXISTS = "model.already_exists"  # model
    ADAPTER_NOT_FOUND = "adapter.not_found"  # path
    ADAPTER_MISMATCH = "adapter.mismatch"  # path, detail
    ADAPTER_UNSUPPORTED = "adapter.unsupported"  # path, reason (DoRA and the like)
    # data
    DATA_NOT_FOUND = "data.not_found"  # path
    DATA_EMPTY = "data.empty"  # path
    DATA_NOT_UTF8 = "data.not_utf8"  # path, line
    DATA_BAD_JSON = "data.bad_json"  # path, line, detail
    DATA_BAD_COLUMNS = "data.bad_columns"  # path, line, found
    DATA_BAD_SAMPLE = "data.bad_sample"  # path, line, detail
    DATA_UNKNOWN_FORMAT = "data.unknown_format"  # path
    DATA_NOTHING_TO_TRAIN = "data.nothing_to_train"  # path, max_length_tokens
    # training
    TRAIN_TARGETS_UNKNOWN = "train.targets_unknown"  # names, available
    TRAIN_WARMUP_TOO_LONG = "train.warmup_too_long"  # warmup_steps, total_steps
    TRAIN_OUT_OF_MEMORY = "train.out_of_memory"  # needed_gib, free_gib, detail
    TRAIN_DIVERGED = "train.diverged"  # step
    TRAIN_NEEDS_PACKAGE = "train.needs_package"  # package, feature
    TRAIN_COMBINATION = "train.combination"  # reason
    TRAIN_NO_LABELS = "train.no_labels"  # path
    TRAIN_GPU_LOST = "train.gpu_lost"  # device, detail
    CHECKPOINT_NONE = "checkpoint.none"  # run_id
    CHECKPOINT_DAMAGED = "checkpoint.damaged"  # path, detail
    # export
    EXPORT_NO_CHANGE = "export.no_change"  # modules (names), count
    EXPORT_NOT_VERIFIED = "export.not_verified"  # path, detail
    EXPORT_EXISTS = "export.exists"  # path
    CAPSULE_DAMAGED = "capsule.damaged"  # path, detail
    # serving
    PORT_IN_USE = "serve.port_in_use"  # host, port
    HOST_UNAVAILABLE = "serve.host_unavailable"  # host, detail
    ENGINE_FAILED = "serve.engine_failed"  # detail
    ENGINE_UNAVAILABLE = "serve.engine_unavailable"  # engine, detail
    SERVE_MEMORY_SHORT = "serve.memory_short"  # need_gib, budget_gib, precision
    SERVE_CARD_BUSY = "serve.card_busy"  # device, run_id, name, used_gib
    SERVE_KEY_INVALID = "serve.key_invalid"  # detail
    SERVE_KEY_UNKNOWN = "serve.key_unknown"  # name
    EXTERNAL_ENGINE_MISSING = "serve.external_missing"  # engine, path
    EXTERNAL_ENGINE_OLD = "serve.external_old"  # engine, found, wanted
    EXTERNAL_ENGINE_FAILED = "serve.external_failed"  # engine, detail
    # files and machine
    DISK_FULL = "disk.full"  # path, needed_bytes, free_bytes
    FOLDER_READ_ONLY = "folder.read_only"  # path
    FILE_DAMAGED = "file.damaged"  # path, detail
    # runs and processes
    RUN_NOT_FOUND = "run.not_found"  # run_id
    RUN_EXISTS = "run.exists"  # run_id
    RUN_STILL_ALIVE = "run.still_alive"  # run_id
    RUN_NOT_ALIVE = "run.not_alive"  # run_id
    RUN_NOT_RESUMABLE = "run.not_resumable"  # run_id, detail
    WORKER_LOST = "worker.lost"  # run_id, detail (exit code or signal)
    WORKER_RANK_LOST = "worker.rank_lost"  # rank, world_size, detail (exit code or signal)
    WORKER_RANKS_APART = "worker.ranks_apart"  # detail
    WORKER_START_FAILED = "worker.start_failed"  # detail
    RUNTIME_INCOMPLETE = "runtime.incomplete"  # missing (module names)
    QUEUE_ITEM_NOT_FOUND = "queue.item_not_found"  # item_id
    POWER_REFUSED = "power.refused"  # action, detail
    # input
    BAD_VALUE = "input.bad_value"  # field, value, detail
    BAD_USAGE = "input.bad_usage"  # detail
    INTERNAL = "internal"  # detail


class ErrorInfo(BaseModel):
    """An error that can be stored in an event, printed as JSON or shown in a card."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    """An `ErrorCode` value; a plain string so that older readers accept newer codes."""
    params: dict[str, Param] = {}
    detail: str = ""
    """Technical cause for "copy diagnostics"; never needed to understand the message."""


class AppError(Exception):
    """The one exception that `core` and `workers` raise on purpose.

    Args:
        code: what happened.
        detail: technical cause, English, for the diagnostics.
        **params: the facts named behind the code in `ErrorCode`.
    """

    def __init__(self, code: ErrorCode, *, detail: str = "", **params: Param) -> None:
        self.code = code
        self.params: dict[str, Param] = params
        self.detail = detail
        facts = ", ".join(f"{k}={v!r}" for k, v in params.items())
        super().__init__(f"{code.value}({facts})" + (f": {detail}" if detail else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        """For processes that tell each other their errors."""
        return _again, (type(self), self.code, self.detail, self.params)

    @property
    def info(self) -> ErrorInfo:
        """The same error as a value."""
        return ErrorInfo(code=self.code.value, params=self.params, detail=self.detail)


class UsageError(AppError):
    """Bad input: nothing was started. The command line exits with 2 for these."""


def _again(
    kind: type[AppError], code: ErrorCode, detail: str, params: dict[str, Param]
) -> AppError:
    return kind(code, detail=detail, **params)
