"""Who a request's key belongs to: the window's own key and the named ones, as they are now.

The files are looked at when a key is asked for, a few times a second at most, so that a revoked
key is refused within a second without a thread that waits for it.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core import api_keys, secrets
from core.api_keys import OWN_KEY_NAME, ApiKey, KeyUse
from core.errors import AppError
from core.paths import Home
from workers.serve.http.errors import ApiError
from workers.serve.http.rates import Meter

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.25


@dataclass(frozen=True)
class Grant:
    """Whose request it is, and what it may do."""

    id: str = "own"
    name: str = OWN_KEY_NAME
    key: ApiKey | None = None
    """None for the window's own key, which has no limits and may read remembered requests."""
    meter: Meter = field(default_factory=Meter, compare=False, repr=False)

    @property
    def own(self) -> bool:
        """Whether it is the window's own key."""
        return self.key is None

    def may_use(self, model: str) -> bool:
        """Whether it may ask for this public name."""
        return self.key is None or not self.key.models or model in self.key.models


class KeyRing:
    """The keys of a home; changes of its files take effect within `LOOK_EVERY_S`.

    Args:
        home: whose keys; None for `only`.
        only: a fixed key instead of a home's.
        wall: seconds since the epoch.
        clock: a monotonic clock.
    """

    def __init__(
        self,
        home: Home | None,
        only: str = "",
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home, self._wall, self._clock = home, wall, clock
        self._own_digest = api_keys.digest(only) if only else ""
        self._grants: dict[str, Grant] = {}
        self._own = Grant(meter=Meter(wall, clock))
        self._seen: tuple[object, ...] = ()
        self._looked_at = -LOOK_EVERY_S
        self.look()

    def look(self) -> None:
        """Read the files again if they changed; called with every request, so it must be cheap."""
        now = self._clock()
        if self._home is None or now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        seen = (_mark(self._home.api_key_file), _mark(api_keys.keys_file(self._home)))
        if seen != self._seen:
            self._read(self._home)
            # Again: reading may have made the own key or set its rights.
            self._seen = (_mark(self._home.api_key_file), _mark(api_keys.keys_file(self._home)))

    def check(self, secret: str) -> Grant:
        """Whose key it is.

        All hashes are compared, in constant time each: how long it takes tells nothing.

        Raises:
            ApiError: 401.
        """
        self.look()
        given = api_keys.digest(secret)
        found = self._own if hmac.compare_digest(given, self._own_digest) else None
        for grant in self._grants.values():
            assert grant.key is not None
            if hmac.compare_digest(given, grant.key.sha256):
                found = grant
        if found is None:
            raise ApiError(401, "the API key is wrong", code="invalid_api_key")
        if found.key is not None and found.key.expired(self._wall()):
            raise ApiError(401, "the API key has expired", code="expired_api_key")
        return found

    def holds(self, grant: Grant) -> bool:
        """Whether a grant given earlier is still good: not revoked, not expired."""
        self.look()
        if grant.key is None:
            return True
        now = self._grants.get(grant.id)
        return now is not None and now.key is not None and not now.key.expired(self._wall())

    @property
    def several(self) -> bool:
        """Whether more people than the window's owner ask here."""
        return bool(self._grants)

    def namespace(self, grant: Grant) -> str:
        """Where prompts are remembered: apart for each key, so that timing tells nothing."""
        return grant.id if self._grants else ""

    def flush_usage(self) -> None:
        """Tell the home what was used since the last time. Blocks on the disk: call on a thread.

        Raises:
            AppError: `disk.full`, `folder.read_only`; the counts wait for the next time.
        """
        grants = (self._own, *self._grants.values())
        more = {g.id: use for g in grants if (use := g.meter.take_untold()) is not None}
        if self._home is None or not more:
            return
        try:
            self._learn(api_keys.add_usage(self._home, more))
        except AppError:
            for grant in grants:
                if grant.id in more:
                    grant.meter.untold = grant.meter.untold.plus(more[grant.id])
            raise

    def _read(self, home: Home) -> None:
        self._own_digest = api_keys.digest(secrets.api_key(home))
        try:
            found = api_keys.list_keys(home)
        except (AppError, OSError) as e:
            # Closed, not open: nobody can tell whether one of them was revoked.
            log.error("named API keys cannot be read, so none of them is accepted: %s", e)
            found = ()
        old = self._grants
        self._grants = {
            k.id: Grant(k.id, k.name, k, old[k.id].meter if k.id in old else self._meter())
            for k in found
        }
        if set(self._grants) - set(old):
            self._learn(api_keys.usage(home))

    def _meter(self) -> Meter:
        return Meter(self._wall, self._clock)

    def _learn(self, told: Mapping[str, KeyUse]) -> None:
        for grant in (self._own, *self._grants.values()):
            if grant.id in told:
                grant.meter.told = told[grant.id]


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is replaced."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
