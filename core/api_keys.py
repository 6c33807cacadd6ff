"""Named API keys beside the window's own: made once, shown once, kept as hashes, revoked at once.

A key is 192 random bits, so one round of SHA-256 protects it: slow, salted hashes exist for what
people can think of, and no list of guesses reaches 2^192. A slow one would only let strangers
spend this server's time with wrong keys.

`secrets/api_keys.json` is written by faces, `secrets/api_usage.json` by servers; both whole, with
owner-only rights, one writer at a time.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core import atomic_io
from core.errors import AppError, ErrorCode, UsageError
from core.paths import Home
from core.secrets import makers_turn

OWN_KEY_NAME = "deepdeck"
"""How the window's own key is called in events, logs and figures; no named key may be."""
PREFIX = "dd-"
_KEY_BYTES = 24
_MOST_KEYS = 1000


class ApiKey(BaseModel):
    """What is known of a key after it was shown: everything but the key."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(default_factory=lambda: uuid.uuid4().hex[:12])
    name: str = Field(min_length=1, max_length=64, pattern=r"^\S(.*\S)?$")
    sha256: str = Field(min_length=64, max_length=64, repr=False)
    ending: str = ""
    """Its last four characters, to tell keys apart."""
    created_utc: float = 0.0
    expires_utc: float | None = None
    requests_per_minute: int = Field(0, ge=0)
    """0: no limit; likewise below."""
    tokens_per_minute: int = Field(0, ge=0)
    tokens_per_day: int = Field(0, ge=0)
    """Days are UTC's."""
    models: tuple[str, ...] = ()
    """Public names that it may ask for; empty: all."""

    def expired(self, now_utc: float) -> bool:
        """Whether its time is over."""
        return self.expires_utc is not None and now_utc >= self.expires_utc


class NewKey(BaseModel):
    """A key just made. `secret` is shown now and never again."""

    model_config = ConfigDict(frozen=True)

    key: ApiKey
    secret: str = Field(repr=False)


class KeyUse(BaseModel):
    """What a key did, of all servers of a home together; a few seconds late."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    last_used_utc: float = 0.0
    day: str = ""
    """UTC, as 2026-11-24."""
    requests_today: int = 0
    tokens_today: int = 0

    def on(self, day: str) -> KeyUse:
        """The same with the counts of another day, which start at zero."""
        return self if self.day == day else KeyUse(last_used_utc=self.last_used_utc, day=day)

    def plus(self, more: KeyUse) -> KeyUse:
        """Both together; the newer day counts."""
        day = max(self.day, more.day)
        old, new = self.on(day), more.on(day)
        return KeyUse(
            last_used_utc=max(old.last_used_utc, new.last_used_utc),
            day=day,
            requests_today=old.requests_today + new.requests_today,
            tokens_today=old.tokens_today + new.tokens_today,
        )


def day_of(utc_s: float) -> str:
    """The UTC day of a moment."""
    return time.strftime("%Y-%m-%d", time.gmtime(utc_s))


def digest(secret: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def keys_file(home: Home) -> Path:
    """Where named keys are kept."""
    return home.api_key_file.with_name("api_keys.json")


def usage_file(home: Home) -> Path:
    """Where their use is kept."""
    return home.api_key_file.with_name("api_usage.json")


def list_keys(home: Home) -> tuple[ApiKey, ...]:
    """All named keys, the oldest first.

    Raises:
        AppError: `file.damaged`.
    """
    document = _read(keys_file(home))
    try:
        return tuple(ApiKey.model_validate(k) for k in document.get("keys", ()))
    except (ValidationError, TypeError) as e:
        raise AppError(
            ErrorCode.FILE_DAMAGED, path=str(keys_file(home)), detail="not a list of keys"
        ) from e


def add_key(
    home: Home,
    name: str,
    *,
    expires_utc: float | None = None,
    requests_per_minute: int = 0,
    tokens_per_minute: int = 0,
    tokens_per_day: int = 0,
    models: Iterable[str] = (),
) -> NewKey:
    """Make a key. Servers that run take it within a second.

    Raises:
        UsageError: `serve.key_invalid` for a name that is taken or no name, for limits below zero.
        AppError: `disk.full`, `folder.read_only`, `file.damaged`.
    """
    secret = PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    try:
        key = ApiKey(
            name=name,
            sha256=digest(secret),
            ending=secret[-4:],
            created_utc=time.time(),
            expires_utc=expires_utc,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            tokens_per_day=tokens_per_day,
            models=tuple(models),
        )
    except ValidationError as e:
        field = ".".join(str(p) for p in e.errors()[0]["loc"])
        raise UsageError(ErrorCode.SERVE_KEY_INVALID, detail=f"{field}: {name!r}") from e
    with makers_turn(keys_file(home).parent):
        keys = list_keys(home)
        _refuse_name(name, keys)
        _write_keys(home, (*keys, key))
    return NewKey(key=key, secret=secret)


def revoke_key(home: Home, name_or_id: str) -> ApiKey:
    """Take a key away. Servers that run refuse it within a second.

    Raises:
        UsageError: `serve.key_unknown`.
        AppError: `disk.full`, `folder.read_only`, `file.damaged`.
    """
    with makers_turn(keys_file(home).parent):
        keys = list_keys(home)
        found = [k for k in keys if name_or_id in (k.name, k.id)]
        if not found:
            raise UsageError(ErrorCode.SERVE_KEY_UNKNOWN, name=name_or_id)
        _write_keys(home, tuple(k for k in keys if k.id != found[0].id))
    return found[0]


def usage(home: Home) -> dict[str, KeyUse]:
    """Use by key id; what cannot be read counts as none, it is only counts."""
    try:
        found = _read(usage_file(home)).get("keys", {})
        return {str(k): KeyUse.model_validate(v) for k, v in found.items()}
    except (AppError, OSError, ValidationError, AttributeError):
        return {}


def add_usage(home: Home, more: Mapping[str, KeyUse]) -> dict[str, KeyUse]:
    """Add what a server counted since it last said so; returns the sums of all servers.

    Raises:
        AppError: `disk.full`, `folder.read_only`.
    """
    with makers_turn(usage_file(home).parent):
        known = usage(home)
        for key_id, use in more.items():
            known[key_id] = known.get(key_id, KeyUse()).plus(use)
        document = {"v": 1, "keys": {k: u.model_dump() for k, u in known.items()}}
        _write(usage_file(home), document)
    return known


def _refuse_name(name: str, keys: tuple[ApiKey, ...]) -> None:
    taken = {k.name.casefold() for k in keys} | {OWN_KEY_NAME}
    if name.casefold() in taken:
        raise UsageError(ErrorCode.SERVE_KEY_INVALID, detail=f"{name!r} is taken")
    if len(keys) >= _MOST_KEYS:
        raise UsageError(ErrorCode.SERVE_KEY_INVALID, detail=f"{_MOST_KEYS} keys")


def _write_keys(home: Home, keys: tuple[ApiKey, ...]) -> None:
    _write(keys_file(home), {"v": 1, "keys": [k.model_dump(mode="json") for k in keys]})


def _write(path: Path, document: dict[str, Any]) -> None:
    atomic_io.write_text(path, json.dumps(document, ensure_ascii=False, indent=1), mode=0o600)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = atomic_io.read_json(path)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            path.chmod(0o600)  # a copy or a restore made it readable for others
    except FileNotFoundError:
        return {}
    if not isinstance(found, dict):
        raise AppError(ErrorCode.FILE_DAMAGED, path=str(path), detail="not an object")
    return found
