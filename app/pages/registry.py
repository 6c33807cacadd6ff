"""The pages of the window in the order of the side bar. A page's module loads at its first show."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from app.pages.base import AppContext, Page


@dataclass(frozen=True)
class PageEntry:
    """Where a page is."""

    page_id: str
    icon_name: str
    module: str
    class_name: str


PAGES: tuple[PageEntry, ...] = (
    PageEntry("overview", "view-dashboard-outline", "app.pages.overview", "OverviewPage"),
    PageEntry("setup", "tools", "app.pages.setup", "SetupPage"),
    PageEntry("models", "cube-outline", "app.pages.models", "ModelsPage"),
    PageEntry("deploy", "rocket-launch-outline", "app.pages.deploy", "DeployPage"),
    PageEntry("chat", "message-text-outline", "app.pages.chat", "ChatPage"),
    PageEntry("data", "database-outline", "app.pages.data", "DataPage"),
    PageEntry("train", "chart-line", "app.pages.train", "TrainPage"),
    PageEntry("runs", "history", "app.pages.runs", "RunsPage"),
    PageEntry("doctor", "stethoscope", "app.pages.doctor", "DoctorPage"),
    PageEntry("settings", "cog-outline", "app.pages.settings", "SettingsPage"),
)


def entry(page_id: str) -> PageEntry:
    """The entry of a page.

    Raises:
        KeyError: there is no such page.
    """
    return {e.page_id: e for e in PAGES}[page_id]


def make_page(page_id: str, ctx: AppContext) -> Page:
    """Load the page's module and build it."""
    found = entry(page_id)
    made = getattr(importlib.import_module(found.module), found.class_name)(ctx)
    if not isinstance(made, Page):
        raise TypeError(f"{found.class_name} is not a Page")
    return made
