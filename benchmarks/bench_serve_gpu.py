"""Serving on a card: the local API over HTTP beside transformers, random weights in real shapes.

    python benchmarks/bench_serve_gpu.py --sections 7b 1.5b qwen7b nf4 int8 --out figures.jsonl

Every section measures both sides in the same run: transformers in this process first (then its
memory is given back), then the server as users start it, with the load from a third process.
Weights are bf16 from the configuration; ids are random, so nothing comes from the prefix cache.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from serve_models import random_model
from serve_sides import Side, deepdeck, line, load_apart

P99_MS = 500.0
_OUT: list[Path] = []


def main() -> None:
    args = arguments()
    if args.out:
        _OUT.append(Path(args.out))
    with tempfile.TemporaryDirectory(prefix="bench-serve-", dir=args.folder) as name:
        for section in args.sections:
            start = time.perf_counter()
            try:
                SECTIONS[section](Path(name), args)
            except Exception as e:  # noqa: BLE001 - the other sections go on
                say(f"{section} FAILED: {type(e).__name__}: {str(e)[-1500:]}")
            say(f"-- {section}: {time.perf_counter() - start:.0f} s")


def say(text: str, **figures: Any) -> None:
    print(text, flush=True)
    for path in _OUT:
        with path.open("a") as f:
            f.write(json.dumps({"text": text, **figures}) + "\n")


# -- sections -----------------------------------------------------------------------------------


def seven_b(folder: Path, args: argparse.Namespace) -> None:
    """DeepSeek-LLM-7B: one stream, 64 streams, 50 requests a second."""
    model = random_model(folder, "deepseek-llm-7b")
    if not args.skip_baseline:
        transformers_sides(model, streams=64)
    with deepdeck(folder, model) as side:
        ready(side)
        one_stream(side)
        streams(side, 64)
        poisson(side, 50, 128, 32)
        if args.first_token:
            highest_rate(side)


def small(folder: Path, _args: argparse.Namespace) -> None:
    """R1-Distill-Qwen-1.5B: 50 requests a second, 128 in, 128 out."""
    with deepdeck(folder, random_model(folder, "r1-distill-qwen-1.5b")) as side:
        ready(side)
        one_stream(side)
        poisson(side, 50, 128, 128)
        streams(side, 64)


def qwen_7b(folder: Path, args: argparse.Namespace) -> None:
    """R1-Distill-Qwen-7B: 50 requests a second, and the first token at 512 in."""
    with deepdeck(folder, random_model(folder, "r1-distill-qwen-7b")) as side:
        ready(side)
        one_stream(side)
        poisson(side, 50, 128, 32)
        if args.first_token:
            highest_rate(side)


def four_bit(folder: Path, args: argparse.Namespace) -> None:
    """DeepSeek-LLM-7B in NF4: one stream."""
    quantized(folder, "4bit", args)


def eight_bit(folder: Path, args: argparse.Namespace) -> None:
    """DeepSeek-LLM-7B in 8 bits: one stream."""
    quantized(folder, "8bit", args)


def quantized(folder: Path, precision: str, args: argparse.Namespace) -> None:
    model = random_model(folder, "deepseek-llm-7b")
    if not args.skip_baseline:
        transformers_one(model, precision)
    with deepdeck(folder, model, precision=precision) as side:
        ready(side)
        one_stream(side)
        streams(side, 8)
        streams(side, 32)


SECTIONS: dict[str, Callable[[Path, argparse.Namespace], None]] = {
    "7b": seven_b, "1.5b": small, "qwen7b": qwen_7b, "nf4": four_bit, "int8": eight_bit,
}  # fmt: skip


# -- our side -----------------------------------------------------------------------------------


def ready(side: Side) -> None:
    say(f"DeepDeck ready after {side.seconds_to_ready:.0f} s: {side.facts}")
    load_apart(side, requests=8, clients=8, prompt_tokens=64, new_tokens=8, seed=99)


def one_stream(side: Side, tokens: int = 256) -> None:
    found = load_apart(side, requests=3, clients=1, prompt_tokens=128, new_tokens=tokens)
    seconds = (found["total_p50_ms"] - found["ttft_p50_ms"]) / 1000
    say(f"DeepDeck one stream over HTTP: {(tokens - 1) / seconds:.0f} tok/s decode, first token "
        f"{found['ttft_p50_ms']:.0f} ms", **found)  # fmt: skip


def streams(side: Side, count: int) -> None:
    load_apart(side, requests=count, clients=count, prompt_tokens=128, new_tokens=8, seed=7)
    found = load_apart(side, requests=4 * count, clients=count, prompt_tokens=128, new_tokens=64)
    say(line("DeepDeck", found), **found)


def poisson(
    side: Side, rate: float, prompt: int, new: int, seconds: float = 12
) -> dict[str, float]:
    found = load_apart(side, requests=int(rate * seconds), rate=rate, prompt_tokens=prompt,
                       new_tokens=new)  # fmt: skip
    say(line("DeepDeck", found) + f" | card {card_share():.2f}", **found)
    return found


def highest_rate(side: Side) -> None:
    """The highest rate whose P99 of the first token stays under the target: 512 in, 128 out."""
    best = 0.0
    for rate in (10, 15, 20, 25, 30, 35, 40, 45, 50):
        if poisson(side, rate, 512, 128, 6)["ttft_p99_ms"] > P99_MS:
            break
        best = rate
    say(f"DeepDeck 512 in, 128 out: P99 of the first token under {P99_MS:.0f} ms up to {best:g}/s")


def card_share() -> float:
    import torch

    free, total = torch.cuda.mem_get_info()
    return 1 - free / total


# -- transformers in this process ---------------------------------------------------------------


def transformers_sides(model_folder: Path, streams: int) -> None:
    model = load(model_folder)
    say(f"transformers generate, one stream: {generate(model, 1, 64):.0f} tok/s")
    say(f"transformers generate, {streams} in one batch: {generate(model, streams, 64):.0f} tok/s")
    try:
        say(f"transformers continuous batching (sdpa), {4 * streams} requests: "
            f"{continuous(model, 4 * streams, 64):.0f} tok/s")  # fmt: skip
    except Exception as e:  # noqa: BLE001 - its failure is a result too
        say(f"transformers continuous batching failed: {type(e).__name__}: {str(e)[:300]}")
    del model
    free()


def transformers_one(model_folder: Path, precision: str) -> None:
    model = load(model_folder, precision)
    say(f"transformers generate {precision}, one stream: {generate(model, 1, 48):.0f} tok/s")
    del model
    free()


def load(folder: Path, precision: str = "bf16") -> Any:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    more: dict[str, Any] = {}
    if precision == "4bit":
        more["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )  # fmt: skip
    elif precision == "8bit":
        more["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, attn_implementation="sdpa", device_map={"": 0}, **more
    ).eval()


def generate(model: Any, rows: int, tokens: int) -> float:
    import torch

    ids = torch.randint(10, 300, (rows, 128), device="cuda")
    seconds = 0.0
    for _ in range(2):  # the first warms
        torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.inference_mode():
            model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
                min_new_tokens=tokens, max_new_tokens=tokens, pad_token_id=0,
            )  # fmt: skip
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    return rows * tokens / seconds


def continuous(model: Any, requests: int, tokens: int) -> float:
    import torch
    from transformers import GenerationConfig

    config = GenerationConfig(max_new_tokens=tokens, do_sample=False, eos_token_id=-1,
                              pad_token_id=0)  # fmt: skip
    prompts = torch.randint(10, 300, (requests, 128)).tolist()
    model.generate_batch(inputs=prompts[:8], generation_config=config)
    start = time.perf_counter()
    found = model.generate_batch(inputs=prompts, generation_config=config)
    made = sum(len(x.generated_tokens) for x in found.values())
    return made / (time.perf_counter() - start)


def free() -> None:
    import torch

    gc.collect()
    torch.cuda.empty_cache()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--skip-baseline", action="store_true")
    parser.add_argument("--first-token", action="store_true", help="search the highest rate too")
    parser.add_argument("--folder", help="where the weights are written; memory is fastest")
    parser.add_argument("--out", help="figures as JSON lines")
    return parser.parse_args()


if __name__ == "__main__":
    main()
