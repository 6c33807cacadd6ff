"""The time axis of a server: the last minutes, however long it has run."""

from __future__ import annotations

from PySide6.QtCore import QObject

from app.widgets.plot_x_axis import XAxis

RECENT_S = 600.0
_ROOM = 1.03
"""A little room at the right, so that the newest point is not on the edge."""


class RecentAxis(XAxis):
    """Follows the last ten minutes; dragging and zooming reach everything."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.set_mode("time")

    def keep_up(self) -> bool:
        """Slide with the newest point, once there is more than fits."""
        if self.follow and self.end() > RECENT_S and self.hover is None:
            return self._set_view(*self._whole())
        return super().keep_up()

    def _whole(self) -> tuple[float, float]:
        low, high = super()._whole()
        end = self.end()
        return (end - RECENT_S, end + RECENT_S * (_ROOM - 1)) if end > RECENT_S else (low, high)
