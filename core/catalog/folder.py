"""Small reads of a model folder: configuration, tokenizer, licence. All capped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

MAX_JSON_BYTES = 8 * 1024 * 1024
MAX_INDEX_BYTES = 64 * 1024 * 1024
_CARD_BYTES = 64 * 1024
_LICENCE_LINE = re.compile(r"^license:\s*[\"']?([\w.+ -]{1,60}?)[\"']?\s*$", re.MULTILINE)

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
# Pickles that a trainer leaves beside good weights: never read by DeepDeck, so no reason to refuse.
_HARMLESS_PICKLES = ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth")


class BadConfig(ValueError):
    """A JSON file of the model is missing, too large, or not an object."""


def read_object(path: Path, cap_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """One JSON object of the model.

    Raises:
        BadConfig: says what is wrong with the file.
    """
    try:
        if path.stat().st_size > cap_bytes:
            raise BadConfig(f"{path.name} is larger than {cap_bytes} bytes")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise BadConfig(f"{path.name}: {e}") from e
    if not isinstance(value, dict):
        raise BadConfig(f"{path.name} is not an object")
    return value


def has_tokenizer(folder: Path) -> bool:
    """One of the files that transformers makes a tokenizer of is there."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def has_chat_template(folder: Path) -> bool:
    """A chat template is there, as a file or inside the tokenizer's configuration."""
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    try:
        return bool(read_object(folder / "tokenizer_config.json").get("chat_template"))
    except BadConfig:
        return False


def licence_of(folder: Path) -> str:
    """The `license:` line of the model card, or nothing."""
    for name in ("README.md", "MODEL_CARD.md"):
        try:
            with (folder / name).open(encoding="utf-8", errors="replace") as card:
                found = _LICENCE_LINE.search(card.read(_CARD_BYTES))
        except OSError:
            continue
        if found:
            return found.group(1)
    return ""


def pickles(folder: Path) -> list[Path]:
    """Weights in a format that runs code when it is read."""
    return sorted(
        p
        for p in folder.iterdir()
        if p.suffix.lower() in PICKLE_SUFFIXES and p.name not in _HARMLESS_PICKLES
    )


def remote_code(folder: Path, config: dict[str, Any]) -> Path | None:
    """The file by which this model would run its author's code, if there is one.

    Custom modules are named by `auto_map`; attention and expert kernels named as `owner/repository`
    are fetched and run by transformers even without consent (CVE-2026-4372), so they count.
    """
    for script in sorted(folder.glob("*.py")):
        return script
    if "auto_map" in config or _names_a_kernel(config):
        return folder / "config.json"
    try:
        if "auto_map" in read_object(folder / "tokenizer_config.json"):
            return folder / "tokenizer_config.json"
    except BadConfig:
        pass
    return None


def _names_a_kernel(config: dict[str, Any], depth: int = 0) -> bool:
    for key, value in config.items():
        if isinstance(value, dict) and depth < 8 and _names_a_kernel(value, depth + 1):
            return True
        if "_implementation" in key and isinstance(value, str) and "/" in value:
            return True
    return False
