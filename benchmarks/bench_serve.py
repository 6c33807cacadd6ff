"""The local API beside what people use instead, on this machine, in one run.

    python benchmarks/bench_serve.py --model SmolLM2-135M.gguf --clients 8

Sides: FastAPI around a locked `generate` (the usual tutorial), `transformers serve` with
continuous batching, and DeepDeck. The same weights, the same prompts, nothing ends early (the end
token is taken out of the copy that is served), each server alone while it is measured, the load
from a process of its own. Whole answers, not streams: `transformers serve` ends streams without
a word.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from serve_models import SHAPES, random_model
from serve_sides import Side, deepdeck, line, load_apart, locked_generate, transformers_serve

_KEPT = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "rms_norm_eps",
         "num_attention_heads", "num_key_value_heads", "max_position_embeddings",
         "rope_parameters", "tie_word_embeddings", "bos_token_id", "pad_token_id")  # fmt: skip


def main() -> None:
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as name:
        folder = Path(name)
        if args.model:
            model = endless_copy(Path(args.model), folder / "model")
        else:
            model = random_model(folder, args.shape)
        print(f"{args.model or args.shape}: {args.prompt_tokens} tokens in, {args.new_tokens} out, "
              f"{args.requests} requests, {args.clients} clients, load {os.getloadavg()[0]:.1f}",
              flush=True)  # fmt: skip
        for repeat in range(args.repeats):
            for side in args.sides:
                with server(side, folder, model, args.device) as found:
                    measure(f"{side} {repeat + 1}", found, model, args)


def server(side: str, folder: Path, model: Path, device: str) -> AbstractContextManager[Side]:
    log = folder / f"{side}.log"
    if side == "locked":
        return locked_generate(model, device, log)
    if side == "transformers":
        return transformers_serve(model, device, log)
    return deepdeck(folder, model, device=device, engine=side.removeprefix("deepdeck-") or "auto")


def measure(name: str, side: Side, model: Path, args: argparse.Namespace) -> None:
    load = {"prompt_tokens": args.prompt_tokens, "new_tokens": args.new_tokens, "plain": True,
            "no_stream": True, "model": "" if "deepdeck" in name else str(model)}  # fmt: skip
    load_apart(side, requests=args.clients, clients=args.clients, seed=9, **load)  # warm
    found = load_apart(side, requests=args.requests, clients=args.clients, **load)
    print(line(name, found) + f" | load {os.getloadavg()[0]:.1f} {side.facts}", flush=True)
    if args.rate:
        found = load_apart(side, requests=args.requests, rate=args.rate, **load)
        print(line(name, found), flush=True)


def endless_copy(source: Path, target: Path) -> Path:
    """A Llama-shaped model as a folder in float32 whose generation never ends by itself."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    from workers.serve.engines.sources import source_arguments

    place, arguments = source_arguments(source)
    loaded = AutoModelForCausalLM.from_pretrained(place, dtype="float32", **arguments)
    config = LlamaConfig(**{k: getattr(loaded.config, k) for k in _KEPT})
    model = AutoModelForCausalLM.from_config(config, dtype="float32")
    model.load_state_dict(loaded.state_dict())  # a model that came out of GGUF refuses to be saved
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(place, **arguments).save_pretrained(target)
    return target


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="a model folder or GGUF file; else random weights")
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sides", nargs="+", default=["locked", "transformers", "deepdeck-auto"])
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.0, help="also Poisson at this rate")
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=32)
    return parser.parse_args()


if __name__ == "__main__":
    main()
