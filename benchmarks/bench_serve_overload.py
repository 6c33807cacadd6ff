"""Ten times more requests than a server can answer, for half a minute: who is let in stays quick.

    python benchmarks/bench_serve_overload.py --model resources/models/deepdeck-starter --wait 1

First the server's capacity in a closed loop, then its P99 at half of that, then ten times of it.
Memory is of all its processes together (resident, summed).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from serve_sides import Side, deepdeck, line, load_apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="resources/models/deepdeck-starter")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--wait", type=float, default=1.0, help="queue_timeout_s of the server")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=32)
    args = parser.parse_args()
    size = {"prompt_tokens": args.prompt_tokens, "new_tokens": args.new_tokens}
    with tempfile.TemporaryDirectory(prefix="bench-overload-") as folder:
        spec = {"device": args.device, "queue_timeout_s": args.wait, "queue_limit": 256}
        with deepdeck(Path(folder), Path(args.model), **spec) as side:
            print(
                f"{side.facts}, waiting limited to {args.wait:g} s, load {os.getloadavg()[0]:.1f}"
            )
            load_apart(side, requests=16, clients=8, seed=9, **size)
            capacity = load_apart(side, requests=96, clients=16, **size)
            print(line("capacity", capacity))
            rate = capacity["requests_per_second"]
            calm = load_apart(side, requests=int(rate * 8), rate=round(rate / 2, 2), **size)
            print(line("half of it", calm))
            before = memory_mib(side)
            storm = load_apart(
                side, requests=int(10 * rate * args.seconds), rate=round(10 * rate, 2), **size
            )
            print(line("ten times it", storm))
            after = memory_mib(side)
            print(f"memory {before:.0f} MiB before, {after:.0f} MiB after the storm")
            again = load_apart(side, requests=int(rate * 8), rate=round(rate / 2, 2), **size)
            print(line("half of it, afterwards", again))


def memory_mib(side: Side) -> float:
    server = psutil.Process(side.pid)
    return sum(p.memory_info().rss for p in (server, *server.children(recursive=True))) / 2**20


if __name__ == "__main__":
    main()
