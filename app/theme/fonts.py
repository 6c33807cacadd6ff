"""Families and sizes. Chinese is always named: left alone, Qt picks Japanese forms (直, 骨, 门)."""

from __future__ import annotations

from PySide6.QtGui import QFont, QFontDatabase, QGuiApplication

FAMILIES = (
    "Inter",
    "Segoe UI",
    "SF Pro Text",
    "Noto Sans",
    "Microsoft YaHei UI",
    "PingFang SC",
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
)
MONOSPACE_FAMILIES = (
    "JetBrains Mono",
    "Cascadia Mono",
    "SF Mono",
    "Noto Sans Mono",
    "DejaVu Sans Mono",
    "Consolas",
    "Menlo",
    "Noto Sans Mono CJK SC",
    "Microsoft YaHei UI",
    "PingFang SC",
    "Noto Sans CJK SC",
    "WenQuanYi Micro Hei Mono",
)
CHINESE_FAMILIES = FAMILIES[4:]

BODY_PT = 9.5
SMALL_PT = 9.0
SECTION_PT = 10.5
TITLE_PT = 15.0
FIGURE_PT = 11.5
LARGE_FIGURE_PT = 18.0


def _installed(families: tuple[str, ...]) -> list[str]:
    # Naming a family that is not there makes Qt read every font's aliases: 100 ms at the start.
    return [f for f in families if QFontDatabase.hasFamily(f)]


def has_chinese_font() -> bool:
    """False on a bare Debian: Chinese would be drawn as squares."""
    return any(QFontDatabase.hasFamily(f) for f in CHINESE_FAMILIES)


def ui_font(point_size: float = BODY_PT, weight: int = QFont.Weight.Normal) -> QFont:
    """The font of the window, with digits of one width so that live figures do not jitter."""
    font = QFont()
    if families := _installed(FAMILIES):
        font.setFamilies(families)
    font.setPointSizeF(point_size)
    font.setWeight(QFont.Weight(weight))
    font.setFeature(QFont.Tag("tnum"), 1)
    return font


def monospace_font(point_size: float = SMALL_PT) -> QFont:
    """For logs, addresses and code."""
    font = QFont()
    families = _installed(MONOSPACE_FAMILIES)
    system = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont).family()
    font.setFamilies([*families, system])
    font.setStyleHint(QFont.StyleHint.Monospace)
    font.setPointSizeF(point_size)
    return font


def apply_font() -> None:
    """Make `ui_font` the application's font."""
    QGuiApplication.setFont(ui_font())
