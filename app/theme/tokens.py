"""Colors by role, never by name: the one place that knows hex values is `resources/themes/`."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, fields
from typing import Literal

from core.paths import RESOURCES

Scheme = Literal["light", "dark"]
Tone = Literal["neutral", "accent", "ok", "warning", "error"]

THEMES = RESOURCES / "themes"


@dataclass(frozen=True)
class Tokens:
    """All colors of one scheme as `#RRGGBB`."""

    scheme: Scheme
    background: str
    side_bar: str
    card: str
    raised: str
    """Controls and the parts of a card that stand out."""
    hover: str
    border: str
    border_strong: str
    text: str
    muted: str
    faint: str
    """Decoration only: its contrast is too low for text."""
    accent: str
    accent_hover: str
    accent_background: str
    on_accent: str
    """Text on a surface filled with `accent`."""
    ok: str
    ok_background: str
    warning: str
    warning_background: str
    error: str
    error_background: str
    series: tuple[str, ...]
    """Told apart by color-blind readers too (Okabe and Ito's set, adjusted)."""

    def tone(self, tone: Tone) -> str:
        """The foreground of a tone."""
        return self.muted if tone == "neutral" else str(getattr(self, tone))

    def tone_background(self, tone: Tone) -> str:
        """The quiet surface behind a tone."""
        return self.raised if tone == "neutral" else str(getattr(self, f"{tone}_background"))

    # Which curve wears which color; the same in both schemes, so that pictures can be compared.
    @property
    def loss(self) -> str:
        """Training loss."""
        return self.series[0]

    @property
    def evaluation(self) -> str:
        """Evaluation loss."""
        return self.series[1]

    @property
    def grad_norm(self) -> str:
        """Gradient norm."""
        return self.series[2]

    @property
    def learning_rate(self) -> str:
        """Learning rate."""
        return self.series[3]

    @property
    def memory(self) -> str:
        """Memory in use."""
        return self.series[4]

    @property
    def allocated(self) -> str:
        """Memory the allocator handed out."""
        return self.series[5]

    @property
    def plot_background(self) -> str:
        """Plots lie on cards."""
        return self.card

    @property
    def plot_axis(self) -> str:
        """Axis line."""
        return self.border_strong

    @property
    def plot_tick_text(self) -> str:
        """Tick labels are text, so they get a text color."""
        return self.muted

    @property
    def plot_grid(self) -> str:
        """Horizontal grid lines."""
        return self.border

    @property
    def plot_limit(self) -> str:
        """Dashed lines of limits and targets, and their labels."""
        return self.warning


@functools.cache
def load_tokens(scheme: Scheme) -> Tokens:
    """Read one scheme from `resources/themes/`."""
    raw = json.loads((THEMES / f"{scheme}.json").read_text(encoding="utf-8"))
    values = {f.name: raw[f.name] for f in fields(Tokens)}
    values["series"] = tuple(values["series"])
    return Tokens(**values)
