"""Where things are: the user's data under `DEEPDECK_HOME`, and the program's own resources."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[1]
RESOURCES = PROJECT_ROOT / "resources"
STARTER_MODEL = RESOURCES / "models" / "deepdeck-starter"
SAMPLE_DATASET = RESOURCES / "datasets" / "deepdeck-sample"
QUICK_DATASET = RESOURCES / "datasets" / "deepdeck-quick"
"""A part of the sample that two cores learn in about a minute."""
BUNDLED_DATASETS = (SAMPLE_DATASET, QUICK_DATASET)


def default_home() -> Path:
    """`DEEPDECK_HOME` if set, else the platform's folder for application data."""
    if named := os.environ.get("DEEPDECK_HOME"):
        return Path(named).expanduser().resolve()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
        return base / "DeepDeck"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "DeepDeck"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "deepdeck"


@dataclass(frozen=True)
class Home:
    """The folder of all user data. Nothing DeepDeck writes lies outside it."""

    root: Path

    @classmethod
    def default(cls) -> Home:
        """The home of this process's user."""
        return cls(default_home())

    @property
    def runs(self) -> Path:
        """One folder a run."""
        return self.root / "runs"

    @property
    def models(self) -> Path:
        """Models that were fetched or added."""
        return self.root / "models"

    @property
    def datasets(self) -> Path:
        """Datasets made or imported by DeepDeck."""
        return self.root / "datasets"

    @property
    def chats(self) -> Path:
        """Conversations that the user chose to keep."""
        return self.root / "chats"

    @property
    def runtimes(self) -> Path:
        """Managed Python environments for workers."""
        return self.root / "runtimes"

    @property
    def cache(self) -> Path:
        """Files that can be deleted at any time."""
        return self.root / "cache"

    @property
    def memory_calibration(self) -> Path:
        """What measured runs taught the memory forecast; may be deleted at any time."""
        return self.cache / "memory_calibration.json"

    @property
    def settings_file(self) -> Path:
        """The window's settings."""
        return self.root / "settings.json"

    @property
    def queue_file(self) -> Path:
        """Trainings that wait for a card."""
        return self.root / "queue.json"

    @property
    def api_key_file(self) -> Path:
        """The API key, owner-readable only."""
        return self.root / "secrets" / "api_key"
