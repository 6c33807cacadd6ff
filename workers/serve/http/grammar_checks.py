"""Grammars are compiled once before the engine sees them, beside everything else that goes on."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from workers.serve.http.errors import bad_value, unavailable
from workers.serve.native.sampling import grammar as grammars
from workers.serve.text.timed_threads import TimedThreads, TimeUp

_TIME_LIMIT_S = 5.0
_MOST_KNOWN = 512


class GrammarChecks:
    """On a thread of its own, so that a slow schema holds up other schemas at most.

    What passed is remembered by its digest: clients send the same schema with every request.
    """

    def __init__(self) -> None:
        self._threads = TimedThreads("grammar-check", 1, _TIME_LIMIT_S)
        self._passed: OrderedDict[bytes, None] = OrderedDict()

    async def check(self, text: str, param: str) -> None:
        """Let pass what an answer can be held to.

        Raises:
            ApiError: 400 with the compiler's reason; 503 when it takes too long.
        """
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        if digest in self._passed:
            self._passed.move_to_end(digest)
            return
        try:
            await self._threads.run(lambda: grammars.check(text))
        except grammars.GrammarError as e:
            raise bad_value(str(e), param) from e
        except TimeUp as e:
            raise unavailable("the schema took too long to compile", "schema_timeout") from e
        self._passed[digest] = None
        while len(self._passed) > _MOST_KNOWN:
            self._passed.popitem(last=False)


CHECKS = GrammarChecks()
"""Of this process: what a schema allows does not depend on the model."""
