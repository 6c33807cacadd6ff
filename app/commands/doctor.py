"""`deepdeck doctor`: what of this machine is in order."""

from __future__ import annotations

import argparse

from app.commands.output import Output
from app.texts.findings import finding_text
from core.services import Services

_MARKS = {"ok": "✓", "warning": "!", "broken": "✗"}


def doctor(_args: argparse.Namespace, services: Services, out: Output) -> int:
    """Exit code 1 when something is broken."""
    found = services.doctor.check()
    for finding in found:
        said = finding_text(finding, out.language)
        out.object(
            "finding",
            id=finding.id,
            level=finding.level,
            title=said.title,
            params=finding.params,
            message=said.message,
            hint=said.hint,
        )
        out.line(f"{_MARKS.get(finding.level, '?')} {said.title}: {said.message}")
        if said.hint and finding.level != "ok":
            out.line(f"    {said.hint}")
    return 1 if any(f.level == "broken" for f in found) else 0
