"""Adapters inside a loaded model: load, switch between two passes, unload."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import Any

from core.errors import AppError, ErrorCode

_DETAIL_CHARS = 500


class Adapters:
    """LoRA layers that PEFT puts into the model's own modules; at most one is active at a time.

    Args:
        model: of transformers; its modules are changed in place.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._peft: Any | None = None
        self._keys: dict[str, str] = {}
        """Public short name to PEFT's, which may hold no dots."""
        self._numbers = itertools.count(1)
        self._merged = ""
        self._current: str | None = None

    @property
    def names(self) -> tuple[str | None, ...]:
        """What `use` accepts: None is the base model."""
        return (self._merged,) if self._merged else (None, *self._keys)

    def load(self, name: str, folder: Path) -> None:
        """Put an adapter in beside the others. After a failure all is as before.

        Raises:
            AppError: `adapter.not_found`, `adapter.mismatch`.
        """
        for needed in ("adapter_config.json", "adapter_model.safetensors"):
            if not (folder / needed).is_file():
                raise AppError(ErrorCode.ADAPTER_NOT_FOUND, path=str(folder / needed))
        key = f"a{next(self._numbers)}"
        try:
            self._inject(key, folder)
        except Exception as e:
            self._take_out(key)
            detail = f"{type(e).__name__}: {e}"[:_DETAIL_CHARS]
            raise AppError(ErrorCode.ADAPTER_MISMATCH, path=str(folder), detail=detail) from e
        self._keys[name] = key
        self._model.eval()  # new layers come in training mode, with dropout
        self._switch(self._current)

    def unload(self, name: str) -> None:
        """Take an adapter out; harmless when it is not there."""
        key = self._keys.pop(name, None)
        if key is None:
            return
        self._take_out(key)
        self._switch(None if self._current == name else self._current)

    def merge(self, name: str) -> None:
        """Fold the only adapter into the weights; the base model is gone then."""
        assert self._peft is not None
        self._peft.merge_and_unload()
        self._peft, self._keys, self._merged = None, {}, name

    def use(self, name: str | None) -> None:
        """Switch, if it is another one than now."""
        if name != self._current and not self._merged:
            self._switch(name)

    def _switch(self, name: str | None) -> None:
        self._current = name
        if self._peft is None:
            return
        tuner = self._peft.base_model
        if name is None:
            tuner.disable_adapter_layers()
        else:
            tuner.enable_adapter_layers()
            tuner.set_adapter(self._keys[name], inference_mode=True)

    def _inject(self, key: str, folder: Path) -> None:
        from peft import PeftConfig, PeftModel

        config = PeftConfig.from_pretrained(str(folder), local_files_only=True)
        config.inference_mode = True
        if self._peft is None:
            self._peft = PeftModel(self._model, config, adapter_name=key)
        else:
            self._peft.add_adapter(key, config)
        self._peft.load_adapter(str(folder), adapter_name=key, is_trainable=False)

    def _take_out(self, key: str) -> None:
        if self._peft is None:
            return
        if set(self._peft.peft_config) <= {key}:
            self._peft.unload()
            self._peft = None
            return
        with contextlib.suppress(ValueError):  # it never came that far
            self._peft.delete_adapter(key)
