"""`deepdeck preview`: samples as the model will read them, trained tokens in green."""

from __future__ import annotations

import argparse
import os
import sys

from app.commands.follow import Interrupts, follow
from app.commands.output import Output
from app.commands.train import train_spec
from app.messages import error_text
from app.texts.train_notes import train_note_text
from core.config.preview import PreviewSpec
from core.runlog.preview import Preview, PreviewPiece, PreviewSample
from core.services import Services
from core.supervisor import RunView

_GREEN, _DIM, _PLAIN = "\x1b[32m", "\x1b[2m", "\x1b[0m"


def preview(args: argparse.Namespace, services: Services, out: Output) -> int:
    """Exit code 0 when there is something to see, 1 when the look failed."""
    spec = preview_spec(args)
    with Interrupts() as interrupts:
        view = services.preview.start(spec)
        view = follow(services.supervisor, view, out, lambda _: None, interrupts)
    found = services.preview.result(view.run_id)
    if found is None:
        return _failed(view, out)
    out.object("preview", **found.model_dump(mode="json"))
    for sample in (*found.samples, *found.dropped):
        _tell_sample(sample, out, colored=_is_colored())
    _tell_all(found, out)
    return 0


def preview_spec(args: argparse.Namespace) -> PreviewSpec:
    """The spec of a training, and which samples to show.

    Raises:
        UsageError: `input.bad_value`, `input.bad_usage` or `file.damaged`.
    """
    choice = {"pick": args.pick, "count": args.count, "samples": args.sample}
    given = {key: value for key, value in choice.items() if value is not None}
    return PreviewSpec.of(train_spec(args), **given)


def _failed(view: RunView, out: Output) -> int:
    if view.error is not None:
        out.error(view.error)
    return 1


def _is_colored() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _tell_sample(sample: PreviewSample, out: Output, *, colored: bool) -> None:
    number = "–" if sample.sample < 0 else str(sample.sample)
    out.say(
        "preview_sample",
        number=number,
        place=f"{sample.file}:{sample.line}",
        tokens=sample.tokens,
        trained=sample.target_tokens,
    )
    for finding in sample.findings:
        out.line(f"  ! {train_note_text(finding, out.language)}")
    out.line("".join(marked(piece, colored=colored) for piece in sample.pieces) + "\n")


def marked(piece: PreviewPiece, *, colored: bool) -> str:
    """Trained text in green, the rest dim; in brackets where there are no colors."""
    if colored:
        # A newline inside a color confuses pagers: each line is colored by itself.
        color = _GREEN if piece.trained else _DIM
        return "\n".join(f"{color}{line}{_PLAIN}" for line in piece.text.split("\n"))
    return f"⟦{piece.text}⟧" if piece.trained else piece.text


def _tell_all(found: Preview, out: Output) -> None:
    out.say(
        "preview_counts",
        samples=found.sample_count,
        tokens=found.total_tokens,
        share=f"{found.trained_share:.1%}",
        longest=found.longest_tokens,
        limit=found.limit_tokens,
    )
    out.say(
        "preview_packing",
        rows=found.packing.rows,
        share=f"{found.packing.share:.1%}",
        padded=f"{found.packing.share_padded:.1%}",
    )
    if found.target_counts:
        names = ", ".join(f"{name} ×{n}" for name, n in found.target_counts.items())
        out.say("preview_targets", names=names)
    for finding in found.findings:
        out.line(f"! {train_note_text(finding, out.language)}")
    if found.targets_problem is not None:
        out.line(f"! {error_text(found.targets_problem, out.language).message}")
