"""Why a run did not do what it was asked for, in words."""

from __future__ import annotations

from PySide6.QtCore import QObject


class RefusalWords(QObject):
    """A QObject for its `tr`."""

    def text(self, code: str) -> str:
        """A code of `workers/train/commands.py`; what is newer than this program as it is."""
        return {
            "not_saved": self.tr("The checkpoint could not be written."),
            "out_of_range": self.tr("That learning rate would be far outside of what makes sense."),
            "unknown_sample": self.tr("These samples are not of this run's data."),
            "nothing_left": self.tr("No sample would be left to train on."),
            "no_healthy_state": self.tr("There is no healthy state to go back to."),
            "card_in_use": self.tr(
                "The card has too little free memory to go on. Close what uses it, then continue."
            ),
            "several_processes": self.tr(
                "A run that is spread over several cards cannot leave them; pause it in place."
            ),
            "quantized_8bit": self.tr(
                "An 8-bit model cannot leave the card and come back the same; pause it in place."
            ),
            "not_enough_memory": self.tr(
                "The computer's memory is too small to take what is on the card."
            ),
        }.get(code, code)
