"""A server that answers a chat as a script says: what a real one does only in bad moments."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from app.viewmodels.chat_client import Target


class Reply:
    """Documents of a stream, or a refusal; `whole` is no stream, `hold` waits before the end."""

    def __init__(
        self,
        *documents: dict[str, Any],
        status: int = 200,
        headers: dict[str, str] | None = None,
        torn: bool = False,
        whole: bool = False,
        hold: threading.Event | None = None,
    ) -> None:
        self.documents, self.status, self.headers = documents, status, headers or {}
        self.torn, self.whole, self.hold = torn, whole, hold


def piece(text: str = "", thought: str = "", finish: str | None = None) -> dict[str, Any]:
    delta = {k: v for k, v in (("content", text), ("reasoning_content", thought)) if v}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def usage(prompt: int, answer: int, cached: int = 0, thought: int = 0) -> dict[str, Any]:
    return {
        "choices": [],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": thought},
        },
    }


def refusal(words: str, code: str) -> dict[str, Any]:
    return {"error": {"message": words, "code": code}}


class ScriptedServer:
    """`asked` holds the bodies, in order; `replies` are used up, the last one again and again."""

    def __init__(self, *replies: Reply) -> None:
        self.asked: list[dict[str, Any]] = []
        self._replies = list(replies)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                outer.asked.append(json.loads(self.rfile.read(size)))
                replies = outer._replies
                outer._answer(self, replies.pop(0) if len(replies) > 1 else replies[0])

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def target(self) -> Target:
        return Target(f"http://127.0.0.1:{self._server.server_port}", "key", "scripted")

    def _answer(self, to: BaseHTTPRequestHandler, reply: Reply) -> None:
        to.send_response(reply.status)
        for name, value in reply.headers.items():
            to.send_header(name, value)
        to.send_header("Connection", "close")
        to.end_headers()
        if reply.status != 200 or reply.whole:
            to.wfile.write(json.dumps(reply.documents[0]).encode())
            return
        for document in reply.documents:
            to.wfile.write(f"data: {json.dumps(document)}\n\n".encode())
            to.wfile.flush()
        if reply.hold is not None:
            reply.hold.wait(20)
        if not reply.torn:
            to.wfile.write(b"data: [DONE]\n\n")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
