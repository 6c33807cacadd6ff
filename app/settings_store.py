"""The settings as the window holds them: change, save, tell."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QObject, Signal

from core.config.app_settings import AppSettings, load_settings, save_settings
from core.errors import AppError, ErrorInfo
from core.paths import Home


class SettingsStore(QObject):
    """`store.change(scheme="dark")` saves at once; `changed` names the field."""

    changed = Signal(str)
    failed = Signal(object)
    """ErrorInfo: the change holds for this session but could not be written."""

    def __init__(self, home: Home, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.home = home
        self._value = load_settings(home)

    @property
    def value(self) -> AppSettings:
        """All settings, frozen."""
        return self._value

    def change(self, **fields: Any) -> None:
        """Set fields by name.

        Raises:
            ValidationError: a value that the field does not take; nothing changes.
        """
        before = self._value
        after = AppSettings.model_validate({**before.model_dump(), **fields})
        changed = [f for f in fields if getattr(after, f) != getattr(before, f)]
        if not changed:
            return
        self._value = after
        self._save()
        for name in changed:
            self.changed.emit(name)

    def _save(self) -> None:
        try:
            save_settings(self.home, self._value)
        except AppError as e:
            self.failed.emit(e.info)
        except OSError as e:
            self.failed.emit(ErrorInfo(code="internal", params={"detail": str(e)}))
