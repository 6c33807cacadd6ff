"""Which models there are and what their files say, without loading weights."""

from __future__ import annotations

from core.catalog.catalogue import Catalogue, CatalogueEntry, WheelSource
from core.catalog.inspection import inspect_model, slug
from core.catalog.model_info import ModelInfo

__all__ = ["Catalogue", "CatalogueEntry", "ModelInfo", "WheelSource", "inspect_model", "slug"]
