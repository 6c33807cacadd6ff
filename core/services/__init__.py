"""The use cases: whatever a face can do, it does through these."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from core.paths import Home

if TYPE_CHECKING:
    from core.config.app_settings import AppSettings
    from core.services.doctor import DoctorService
    from core.services.models import ModelsService
    from core.services.preview import PreviewService
    from core.services.queue import QueueService
    from core.services.runs import RunsService
    from core.services.serve import ServeService
    from core.services.serve_arbiter import ServeArbiter
    from core.services.serve_control import ServeControl
    from core.services.train import TrainService
    from core.services.train_export import ExportService
    from core.supervisor import Supervisor


@dataclass(frozen=True)
class Services:
    """All services of one home, sharing one supervisor."""

    home: Home
    supervisor: Supervisor
    train: TrainService
    preview: PreviewService
    serve: ServeService
    runs: RunsService
    models: ModelsService
    settings: AppSettings
    """As stored at the start; the window changes them through its own store."""

    @cached_property
    def doctor(self) -> DoctorService:
        """Made at first use: the command line rarely needs what it imports."""
        from core.services.doctor import DoctorService

        return DoctorService(self.home)

    @cached_property
    def export(self) -> ExportService:
        """Adapters and merged models for use elsewhere."""
        from core.services.train_export import ExportService

        return ExportService(self.home, self.supervisor, self.models)

    @cached_property
    def queue(self) -> QueueService:
        """Trainings that wait for a card."""
        from core.services.queue import QueueService

        return QueueService(self.home, self.train, self.runs, self.serve)

    @cached_property
    def arbiter(self) -> ServeArbiter:
        """Who is on a card before something is started there."""
        from core.services.serve_arbiter import ServeArbiter

        return ServeArbiter(self.home, self.supervisor, self.models)

    @cached_property
    def server(self) -> ServeControl:
        """What can be asked of a server that runs."""
        from core.services.serve_control import ServeControl

        return ServeControl(self.home, self.supervisor)


def build(home: Home) -> Services:
    """Wire the services together. Nothing is started and nothing written."""
    from core.config.app_settings import load_settings
    from core.services.models import ModelsService
    from core.services.preview import PreviewService
    from core.services.runs import RunsService
    from core.services.serve import ServeService
    from core.services.train import TrainService
    from core.supervisor import Supervisor

    supervisor = Supervisor(home)
    models = ModelsService(home, supervisor)
    train = TrainService(home, supervisor, models)
    return Services(
        home=home,
        supervisor=supervisor,
        train=train,
        preview=PreviewService(home, supervisor, models),
        serve=ServeService(home, supervisor, models),
        runs=RunsService(home, supervisor, train),
        models=models,
        settings=load_settings(home),
    )
