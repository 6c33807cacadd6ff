"""Time from process start to the painted window, and its memory, each in a fresh process.

    python benchmarks/bench_window.py [--runs 5] [--page overview]

Uses the display that is there, else the offscreen platform. Warm disk: the first start is thrown
away. `cpu_s` is what the start costs on a machine that does nothing else. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

CHILD = """
import os, sys, time
import psutil
started = psutil.Process().create_time()
from app.bootstrap import compose, make_app, open_window
from core.paths import Home
from PySide6.QtCore import QTimer
app = make_app()
deck = compose(app, Home.default())
def painted():
    shown_s = (time.time() - started, time.process_time())
    QTimer.singleShot(1500, lambda: done(shown_s))
def done(shown_s):
    rss = psutil.Process().memory_info().rss
    print(*shown_s, rss, "torch" in sys.modules)
    sys.stdout.flush()
    deck.close()
    app.quit()
open_window(deck, sys.argv[1])
deck.window.repaint()
QTimer.singleShot(0, painted)
app.exec()
"""


def once(page: str, home: str) -> tuple[float, float, float, bool]:
    env = {**os.environ, "DEEPDECK_HOME": home, "PYTHONPATH": str(ROOT)}
    if not env.get("DISPLAY") and not env.get("WAYLAND_DISPLAY"):
        env.setdefault("QT_QPA_PLATFORM", "offscreen")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, page],
        cwd=ROOT, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    shown, cpu, rss, torch = done.stdout.split()[-4:]
    return float(shown), float(cpu), int(rss) / 2**20, torch == "True"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--page", default="overview")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        once(args.page, home)
        found = [once(args.page, home) for _ in range(args.runs)]
    result = {
        "page": args.page,
        "platform": os.environ.get("QT_QPA_PLATFORM") or os.environ.get("DISPLAY") or "offscreen",
        "shown_s_median": round(statistics.median(f[0] for f in found), 2),
        "shown_s_worst": round(max(f[0] for f in found), 2),
        "cpu_s_median": round(statistics.median(f[1] for f in found), 2),
        "rss_mib_median": round(statistics.median(f[2] for f in found)),
        "torch_imported": any(f[3] for f in found),
        "load_average": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
