"""The spec of fetching a model into the library."""

from __future__ import annotations

from pydantic import Field

from core.config.base import Spec


class FetchSpec(Spec):
    """Fetch one model of the catalogue."""

    model: str = Field(description="Catalogue id, for example smollm2-135m-instruct.")
