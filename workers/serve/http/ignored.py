"""Fields that mean nothing here: accepted, since other servers know them, but never in silence."""

from __future__ import annotations

import logging
import re

from workers.serve.http.schemas import Body, unknown_fields

log = logging.getLogger(__name__)
HEADER = "x-deepdeck-ignored"
_NAME = re.compile(r"[\w.\-]{1,64}", re.ASCII)
_MOST_TOLD = 20
_MOST_LOGGED = 200
_logged: set[str] = set()


def ignored_header(body: Body) -> dict[str, str]:
    """The header that lists them; names once each in the log. Never a value of a field."""
    if not body.model_extra and not any(
        isinstance(v, Body) and v.model_extra for v in body.__dict__.values()
    ):
        return {}
    names = [n if _NAME.fullmatch(n) else "?" for n in unknown_fields(body)]
    for name in dict.fromkeys(names):
        if name not in _logged and len(_logged) < _MOST_LOGGED:
            _logged.add(name)
            log.info("a client sent the field %s, which means nothing here", name)
    return {HEADER: ", ".join(dict.fromkeys(names[:_MOST_TOLD]))}
