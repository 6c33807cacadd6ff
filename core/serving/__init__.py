"""Decisions of the local API that need no torch: which engine, which precision, and why."""

from core.serving.choice import Choice, Circumstances, choose

__all__ = ["Choice", "Circumstances", "choose"]
