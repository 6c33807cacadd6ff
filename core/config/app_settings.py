"""What the user set in the window. Read leniently: an old or broken file never stops the start."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core import atomic_io
from core.config.train import Precision
from core.errors import AppError
from core.paths import Home

LanguageChoice = Literal["system", "en", "zh_CN"]
SchemeChoice = Literal["system", "light", "dark"]
CloseChoice = Literal["ask", "leave", "stop"]


class AppSettings(BaseModel):
    """Settings of the window; a run's own settings are in its spec."""

    # Unknown keys come from a newer DeepDeck: keep them, so that going back and forth loses none.
    model_config = ConfigDict(frozen=True, extra="allow")

    language: LanguageChoice = Field("system", description="Language of the window.")
    scheme: SchemeChoice = Field("system", description="Light or dark.")
    precision: Precision = Field("auto", description="Number format that new runs start with.")
    notify: bool = Field(True, description="Say in the window when a run ends or raises an alarm.")
    on_close: CloseChoice = Field("ask", description="What to do with live runs at closing.")
    window_geometry: str = Field("", description="Qt's own format, base64.")
    data_paths: tuple[str, ...] = Field((), description="Datasets that the user added.")
    keep_chats: bool = Field(False, description="Save every conversation without being asked.")
    last_page: str = Field("overview", description="Page that was open last.")


def load_settings(home: Home) -> AppSettings:
    """The stored settings. What cannot be read falls back to its default, the rest is kept."""
    try:
        raw = atomic_io.read_json(home.settings_file)
    except (AppError, OSError):
        return AppSettings()
    if not isinstance(raw, dict):
        return AppSettings()
    try:
        return AppSettings.model_validate(raw)
    except ValidationError as e:
        bad = {str(x["loc"][0]) for x in e.errors()}
        return AppSettings.model_validate({k: v for k, v in raw.items() if k not in bad})


def save_settings(home: Home, settings: AppSettings) -> None:
    """Write the settings, whole or not at all.

    Raises:
        AppError: `disk.full` or `folder.read_only`.
    """
    atomic_io.write_json(home.settings_file, settings.model_dump(mode="json"))
