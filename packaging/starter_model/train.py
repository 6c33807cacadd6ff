"""Train the starter model: pre-training on all text, then chat with loss on the answers only.

Usage: ``python train.py --tokens tokens.npz --tokenizer FOLDER --out FOLDER``. One GPU needs a few
minutes; ``--tiny`` runs every step of it in seconds on a CPU, to check the recipe.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

BOS, EOS, PAD, USER, ASSISTANT = range(5)
IGNORED = -100


@dataclass(frozen=True)
class Plan:
    """Sizes of one training; ``seconds`` bounds each phase, so that a lease is never overrun."""

    rows: int = 128
    length: int = 1024
    peak: float = 3e-3
    pretrain_steps: int = 3400
    pretrain_seconds: float = 255.0
    chat_peak: float = 1e-3
    chat_steps: int = 1300
    chat_seconds: float = 95.0
    made_share: float = 0.38
    chat_share: float = 0.14


TINY = Plan(4, 64, 3e-3, 6, 60.0, 1e-3, 6, 60.0)


def model_config(vocab: int, tiny: bool) -> LlamaConfig:
    """Return the architecture: that of DeepSeek-LLM (Llama with RMSNorm, SwiGLU, RoPE), tied."""
    return LlamaConfig(
        vocab_size=vocab,
        hidden_size=64 if tiny else 256,
        intermediate_size=128 if tiny else 608,
        num_hidden_layers=2 if tiny else 8,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        rms_norm_eps=1e-6,
        initializer_range=0.02,
        tie_word_embeddings=True,
        attention_bias=False,
        mlp_bias=False,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )


def learning_rate(done: float, peak: float) -> float:
    """Return warm-up over the first 3 % of the work, then a cosine to a twentieth of the peak."""
    if done < 0.03:
        return peak * max(done, 1e-3) / 0.03
    return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (done - 0.03) / 0.97)))


class Corpus:
    """The token rows of ``prepare.py`` on the device, drawn at random."""

    def __init__(self, path: Path, device: torch.device, seed: int = 0) -> None:
        data = np.load(path)
        self.device = device
        self.parts = {name: self._put(data[name]) for name in ("real", "made", "chat")}
        ends = torch.from_numpy(data["chat_ends"].astype(np.int64)).to(device)
        self.starts = torch.cat([ends.new_zeros(1), ends[:-1]])
        self.generator = torch.Generator(device=device).manual_seed(seed)

    def _put(self, ids: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(ids.astype(np.int32)).to(self.device)

    def _random(self, high: int, count: int) -> torch.Tensor:
        return torch.randint(high, (count,), generator=self.generator, device=self.device)

    def pretrain_batch(self, plan: Plan) -> torch.Tensor:
        """Return (rows, length) tokens: windows of real, made and chat text in fixed shares."""
        made, chat = int(plan.rows * plan.made_share), int(plan.rows * plan.chat_share)
        counts = {"real": plan.rows - made - chat, "made": made, "chat": chat}
        span = torch.arange(plan.length, device=self.device)
        windows = []
        for name, count in counts.items():
            at = self._random(len(self.parts[name]) - plan.length, count)
            windows.append(self.parts[name][at[:, None] + span])
        return torch.cat(windows).long()

    def chat_batch(self, plan: Plan) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (rows, length) tokens and labels: rows of chats, each row begins with a chat.

        The shape is that of pre-training, so that nothing has to be compiled again.
        """
        fitting = self.starts[self.starts < len(self.parts["chat"]) - plan.length]
        at = fitting[self._random(len(fitting), plan.rows)]
        span = torch.arange(plan.length, device=self.device)
        ids = self.parts["chat"][at[:, None] + span].long()
        return ids, answer_labels(ids)


def answer_labels(ids: torch.Tensor) -> torch.Tensor:
    """Keep only the tokens between an assistant mark and the end mark (which is learned too)."""
    opened = (ids == ASSISTANT).cumsum(1)
    closed = (ids == EOS).cumsum(1) - (ids == EOS).long()
    return torch.where((opened > closed) & (ids != ASSISTANT), ids, IGNORED)


def optimizer_for(model: torch.nn.Module, peak: float) -> torch.optim.AdamW:
    """Return AdamW with weight decay on the matrices only."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": 0.1},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.95), fused=torch.cuda.is_available())


def run_phase(
    model: torch.nn.Module,
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]],
    steps: int,
    seconds: float,
    peak: float,
    name: str,
) -> None:
    """Train for a number of steps or seconds, whichever share of the work is further on."""
    optimizer, start = optimizer_for(model, peak), time.monotonic()
    device = next(model.parameters()).device
    cast = torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()
    done, step = 0.0, 0
    while done < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(done, peak)
        ids, labels = next(batches)
        with cast:
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        done = max(step / steps, (time.monotonic() - start) / seconds)
        if step % 100 == 0 or done >= 1.0 or step <= 3:
            spent = time.monotonic() - start
            print(f"{name} step {step} loss {loss.item():.4f} {spent:.0f} s", flush=True)


def pretrain_batches(corpus: Corpus, plan: Plan) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield endless batches on which every token is learned."""
    while True:
        ids = corpus.pretrain_batch(plan)
        yield ids, ids


def chat_batches(corpus: Corpus, plan: Plan) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield endless batches of whole chats."""
    while True:
        yield corpus.chat_batch(plan)


def save(model: LlamaForCausalLM, out: Path) -> None:
    """Write bf16 safetensors and the configuration files."""
    model.to(torch.bfloat16).save_pretrained(out)
    generation = GenerationConfig(
        bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD,
        do_sample=True, temperature=0.7, top_p=0.95, max_new_tokens=128,
    )  # fmt: skip
    generation.save_pretrained(out)


def main() -> None:
    """Train both phases and save the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    plan = TINY if args.tiny else Plan()
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = json.loads((args.tokenizer / "tokenizer.json").read_text("utf-8"))
    vocab = len(tokenizer["model"]["vocab"])
    model = LlamaForCausalLM(model_config(vocab, args.tiny)).to(device)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", device, flush=True)
    corpus = Corpus(args.tokens, device)
    step_model: torch.nn.Module = model if args.tiny else torch.compile(model)
    steps, seconds = plan.pretrain_steps, plan.pretrain_seconds
    run_phase(step_model, pretrain_batches(corpus, plan), steps, seconds, plan.peak, "pretrain")
    steps, seconds = plan.chat_steps, plan.chat_seconds
    run_phase(step_model, chat_batches(corpus, plan), steps, seconds, plan.chat_peak, "chat")
    args.out.mkdir(parents=True, exist_ok=True)
    save(model, args.out)


if __name__ == "__main__":
    main()
