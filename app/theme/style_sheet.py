"""The style sheet: one template with `@role@` placeholders, filled from the tokens."""

from __future__ import annotations

import functools
import re

from app.theme import fonts
from app.theme.tokens import THEMES, Tokens
from core.paths import RESOURCES

_PLACEHOLDER = re.compile(r"@([a-z_]+)@")


@functools.cache
def _template() -> str:
    return (THEMES / "style.qss").read_text(encoding="utf-8")


def _sizes() -> dict[str, str]:
    return {
        "small_pt": f"{fonts.SMALL_PT}pt",
        "section_pt": f"{fonts.SECTION_PT}pt",
        "title_pt": f"{fonts.TITLE_PT}pt",
        "figure_pt": f"{fonts.FIGURE_PT}pt",
        "large_figure_pt": f"{fonts.LARGE_FIGURE_PT}pt",
    }


def make_style_sheet(tokens: Tokens) -> str:
    """The style sheet of one scheme.

    Raises:
        KeyError: the template names a role that does not exist.
    """
    values: dict[str, str] = {k: v for k, v in vars(tokens).items() if isinstance(v, str)}
    values |= _sizes() | {"icons": (RESOURCES / "icons").as_posix()}
    return _PLACEHOLDER.sub(lambda m: values[m.group(1)], _template())
