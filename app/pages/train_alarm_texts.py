"""Words about alarms that only the window says: what the guard did, what can be done."""

from __future__ import annotations

from PySide6.QtCore import QObject

from app import messages
from app.i18n import LanguageManager
from app.viewmodels.train_alarms import Remedy, rollback_of, scale_text
from core.protocol.events import AlarmRaised, RolledBack
from core.runlog.state import RunState

ICONS: dict[Remedy, str] = {
    "exclude": "filter-remove-outline",
    "roll_back": "history",
    "lower_rate": "trending-down",
    "continue": "play",
    "stop": "stop",
}


class AlarmWords(QObject):
    """A QObject for its `tr`."""

    def done(self, alarm: AlarmRaised, state: RunState) -> str:
        """What the guard did about it."""
        if (back := rollback_of(alarm, state)) is not None:
            return self.rolled_back(back)
        if alarm.action == "pause" and alarm.reason in ("no_snapshot", "rollbacks_spent"):
            return self._paused_for(alarm.reason)
        texts = {
            "mark": self.tr("It was marked on the plots; training went on."),
            "notify": self.tr("You were told; training went on."),
            "save": self.tr("A checkpoint was saved; training went on."),
            "pause": self.tr("Training was paused."),
            "rollback": self.tr("The run goes back to a healthy state."),
        }
        return texts.get(alarm.action, "")

    def _paused_for(self, reason: str) -> str:
        if reason == "no_snapshot":
            return self.tr("Training was paused: there is no healthy state to go back to.")
        return self.tr("Training was paused: all rollbacks that were allowed are used up.")

    def rolled_back(self, back: RolledBack) -> str:
        """All that a rollback did."""
        parts = [
            self.tr("Rolled back to step {step}, learning rate now × {scale}.").format(
                step=f"{back.to_step:,}", scale=scale_text(back.lr_scale)
            )
        ]
        if back.skipped_samples:
            skipped = self.tr("{count} samples between are left out.")
            parts.append(skipped.format(count=f"{back.skipped_samples:,}"))
        if back.rewarm_steps:
            warm = self.tr("The rate rises again over {count} steps.")
            parts.append(warm.format(count=back.rewarm_steps))
        if back.alarm != "user" and back.max_attempts:
            attempt = self.tr("Attempt {attempt} of {most}.")
            parts.append(attempt.format(attempt=back.attempt, most=back.max_attempts))
        return messages.sentences_text(parts, LanguageManager.current().language)

    def remedy(
        self,
        remedy: Remedy,
        *,
        chosen: int = 0,
        paused: bool = False,
        to_step: int | None = None,
    ) -> tuple[str, str]:
        """Name of a button and what it does.

        Args:
            remedy: what is offered.
            chosen: samples that are checked.
            paused: the run goes on with it.
            to_step: where a rollback would land, when the run holds and so knows it.
        """
        if remedy == "exclude":
            return self._exclude(chosen, paused=paused)
        names = {
            "roll_back": (
                self.tr("Roll back to step {step}").format(step=f"{to_step:,}")
                if to_step is not None
                else self.tr("Roll back"),
                self.tr(
                    "Go back to the newest healthy state, with a lower rate and past this data"
                ),
            ),
            "lower_rate": (
                self.tr("Learning rate to a third, continue")
                if paused
                else self.tr("Learning rate to a third"),
                self.tr("From the next step on; can be changed again at any time"),
            ),
            "continue": (
                self.tr("Continue"),
                self.tr("Go on from here as if nothing had happened"),
            ),
            "stop": (
                self.tr("Stop and save"),
                self.tr("Finish the step, save a checkpoint and the adapter, then end"),
            ),
        }
        return names[remedy]

    def _exclude(self, chosen: int, *, paused: bool) -> tuple[str, str]:
        tooltip = self.tr("The checked samples are not shown to the model any more in this run")
        if not chosen:
            return self.tr("Exclude the checked samples"), tooltip
        if not paused:
            text = self.tr("Exclude {count} samples").format(count=chosen)
            return (self.tr("Exclude 1 sample") if chosen == 1 else text), tooltip
        text = self.tr("Exclude {count} samples and continue").format(count=chosen)
        return (self.tr("Exclude 1 sample and continue") if chosen == 1 else text), tooltip
