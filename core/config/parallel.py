"""How a training is spread over processes: one process a GPU, on one machine or several.

The names are `torchrun`'s (https://docs.pytorch.org/docs/stable/elastic/run.html), so that what
a person knows from there holds here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from core.config.base import Spec

Strategy = Literal["none", "ddp", "fsdp2", "tp", "zero3"]


class ParallelSpec(Spec):
    """Number of processes, where they meet, and what they share."""

    strategy: Strategy = Field(
        "none",
        description="What the processes share: none (one process), ddp (each has the whole model "
        "and a share of the samples), fsdp2 (weights are sharded too), tp (each has a slice of "
        "every layer and sees every sample), zero3 (DeepSpeed, as fsdp2).",
    )
    nproc_per_node: int = Field(
        1, ge=1, le=64, description="Processes on each machine, one for each GPU."
    )
    nnodes: int = Field(1, ge=1, le=1024, description="Machines that train together.")
    node_rank: int = Field(
        0, ge=0, le=1023, description="This machine's number; number 0 writes the run."
    )
    rdzv_endpoint: str = Field(
        "",
        pattern=r"^$|^\S+:\d{1,5}$",
        description="host:port of machine 0 where all processes meet; needed for several machines.",
    )
    rdzv_id: str = Field(
        "", max_length=80, description="Name of the meeting, the same on all machines."
    )
    cpu_offload: bool = Field(
        False,
        description="Keep sharded weights and optimizer states in host memory (fsdp2, zero3).",
    )
    reshard_after_forward: bool = Field(
        True,
        description="fsdp2: give gathered weights back after a layer's forward pass. Off is "
        "faster and needs memory for the whole model.",
    )
    collective_timeout_s: float = Field(
        600.0,
        ge=5,
        le=86_400,
        description="A process that waits this long for the others ends the run with an error.",
    )

    @property
    def world_size(self) -> int:
        """Processes on all machines."""
        return self.nproc_per_node * self.nnodes

    @property
    def data_ranks(self) -> int:
        """Over how many processes the samples of a step are split; slices of one model share them.

        Samples of a step = per_device_train_batch_size x gradient_accumulation_steps x this.
        """
        return 1 if self.strategy == "tp" else self.world_size

    @model_validator(mode="after")
    def _holds_together(self) -> ParallelSpec:
        if self.strategy == "none" and self.world_size > 1:
            raise ValueError("several processes need a strategy: ddp, fsdp2, tp or zero3")
        if self.node_rank >= self.nnodes:
            raise ValueError("node_rank must be less than nnodes")
        if self.nnodes > 1 and not self.rdzv_endpoint:
            raise ValueError("several machines need rdzv_endpoint, the address of machine 0")
        return self
