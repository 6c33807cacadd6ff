"""The HTML report of a run: one file, nothing loaded from elsewhere, two languages, two schemes."""

from core.report.page import render_report

__all__ = ["render_report"]
