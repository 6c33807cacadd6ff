"""`deepdeck keys`: who may ask the local API beside this window."""

from __future__ import annotations

import argparse
import time

from app.commands.output import Output, text
from core.services import Services
from core.services.serve_keys import KeyInfo, ServeKeysService


def keys(args: argparse.Namespace, services: Services, out: Output) -> int:
    """Dispatch to the action; `list` without one."""
    service = ServeKeysService(services.home)
    if args.action == "add":
        _add(args, service, out)
    elif args.action == "revoke":
        revoked = service.revoke(args.key)
        out.object("key_revoked", id=revoked.id, name=revoked.name)
        out.say("key_revoked", name=revoked.name)
    else:
        _list(service, out)
    return 0


def _add(args: argparse.Namespace, service: ServeKeysService, out: Output) -> None:
    made = service.add(
        args.name,
        days=args.days,
        requests_per_minute=args.requests_per_minute,
        tokens_per_minute=args.tokens_per_minute,
        tokens_per_day=args.tokens_per_day,
        models=args.models or (),
    )
    out.object("key", api_key=made.secret, **made.key.model_dump(mode="json", exclude={"sha256"}))
    out.say("key_made", name=made.key.name, api_key=made.secret)


def _list(service: ServeKeysService, out: Output) -> None:
    found = service.list()
    for info in found:
        out.object(
            "key",
            **info.key.model_dump(mode="json", exclude={"sha256"}),
            expired=info.expired,
            **info.use.model_dump(mode="json", exclude={"day"}),
        )
        out.line(_row(info, out))
    if not found:
        out.say("keys_none")


def _row(info: KeyInfo, out: Output) -> str:
    key, use = info.key, info.use

    def words(name: str, **facts: object) -> str:
        return text(name, out.language, **facts)

    parts = [f"{key.name:<20}", f"…{key.ending}"]
    if info.expired:
        parts.append(words("key_expired"))
    elif key.expires_utc is not None:
        parts.append(words("key_until", date=_date(key.expires_utc)))
    limits = ("requests_per_minute", "tokens_per_minute", "tokens_per_day")
    parts += [words(f"key_{limit}", number=n) for limit in limits if (n := getattr(key, limit))]
    if key.models:
        parts.append(", ".join(key.models))
    if use.last_used_utc:
        parts.append(words("key_used", date=_date(use.last_used_utc), tokens=use.tokens_today))
    else:
        parts.append(words("key_unused"))
    return "  ".join(parts)


def _date(utc_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(utc_s))
