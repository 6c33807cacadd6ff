"""What a run is made of: built by `prepare`, driven by `trainer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.config.train import TrainSpec
from workers.train.data import RunData
from workers.train.data_order import DataOrder, Extent
from workers.train.device import MemoryMeter, Place
from workers.train.evaluation import Evaluator
from workers.train.saver import Saver
from workers.train.schedule import Schedule
from workers.train.stepper import Stepper

if TYPE_CHECKING:
    import torch

    from core.divergence import Detectors
    from workers.train.checkpoint import TrainerState
    from workers.train.encoding import Encoder
    from workers.train.forecast import Outlook
    from workers.train.heaviest import Heaviest


@dataclass
class Parts:
    """Everything the loop works with."""

    spec: TrainSpec
    place: Place
    data: RunData
    encoder: Encoder
    tokenizer: Any
    pad_id: int
    order: DataOrder
    extent: Extent
    flat: bool
    """Micro-batches of uneven rows are joined, not padded: the model knows where documents end."""
    schedule: Schedule
    model: Any
    """What is trained, without the wrapper of several processes: names are PEFT's."""
    optimizer: Any
    """torch's own, without accelerate's wrapper."""
    stepper: Stepper
    evaluator: Evaluator
    saver: Saver
    detectors: Detectors
    scaler: Any
    """torch's GradScaler, or None."""
    meter: MemoryMeter
    state: TrainerState
    generators: dict[str, torch.Tensor] | None = None
    """torch's random state of the checkpoint, when the run is resumed."""
    heaviest: Heaviest | None = None
    """The micro-batch that needs the most memory."""
    outlook: Outlook | None = None
    """What the planner expects of it."""
