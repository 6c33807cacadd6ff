"""The keys that programs of others use: list, add, revoke. Servers that run follow in a second."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from core import api_keys
from core.api_keys import ApiKey, KeyUse, NewKey
from core.paths import Home

_DAY_S = 86_400


@dataclass(frozen=True)
class KeyInfo:
    """A key and what it did."""

    key: ApiKey
    use: KeyUse
    expired: bool


class ServeKeysService:
    """Named API keys of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def list(self) -> tuple[KeyInfo, ...]:
        """The oldest first; counts are of today (UTC) and a few seconds late.

        Raises:
            AppError: `file.damaged`.
        """
        now = time.time()
        used, today = api_keys.usage(self._home), api_keys.day_of(now)
        return tuple(
            KeyInfo(k, used.get(k.id, KeyUse()).on(today), k.expired(now))
            for k in api_keys.list_keys(self._home)
        )

    def add(
        self,
        name: str,
        *,
        days: float | None = None,
        requests_per_minute: int = 0,
        tokens_per_minute: int = 0,
        tokens_per_day: int = 0,
        models: Iterable[str] = (),
    ) -> NewKey:
        """Make a key; its `secret` can be read now and never again.

        Args:
            name: for people; one of its own.
            days: until it ends; None: never.
            requests_per_minute: 0: no limit; likewise the others.
            tokens_per_minute: prompts and answers together.
            tokens_per_day: of a UTC day.
            models: public names that it may ask for; none: all.

        Raises:
            UsageError: `serve.key_invalid`.
            AppError: `disk.full`, `folder.read_only`, `file.damaged`.
        """
        return api_keys.add_key(
            self._home,
            name,
            expires_utc=None if days is None else time.time() + days * _DAY_S,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            tokens_per_day=tokens_per_day,
            models=models,
        )

    def revoke(self, name_or_id: str) -> ApiKey:
        """Take a key away.

        Raises:
            UsageError: `serve.key_unknown`.
            AppError: `disk.full`, `folder.read_only`, `file.damaged`.
        """
        return api_keys.revoke_key(self._home, name_or_id)
