"""How far automation may go when a run goes wrong."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.config.base import Spec

GuardLevel = Literal["mark", "notify", "save", "pause", "rollback"]
"""Each does what the ones before it do as well: mark the plot, notify the user, save a checkpoint,
pause the run, or roll it back and go on."""


class GuardSpec(Spec):
    """What a rollback is made of; whether there is one says `TrainSpec.guard`."""

    snapshot_steps: int = Field(
        25, ge=1, description="A healthy state is kept in memory every so many steps."
    )
    snapshots: int = Field(4, ge=1, le=64, description="States kept in memory.")
    max_rollbacks: int = Field(3, ge=0, le=20, description="After so many: pause and ask.")
    lr_divisor: float = Field(
        3.0, ge=1, description="The learning rate is divided by it at a rollback: 3e-5 to 1e-5."
    )
    rewarm_steps: int = Field(
        20, ge=0, description="Steps over which the rate rises again after a rollback."
    )
