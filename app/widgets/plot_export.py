"""Plots as pictures: PNG at twice the screen's resolution, SVG with real text and lines."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QPoint
from PySide6.QtGui import QPainter, QPixmap
from PySide6.QtWidgets import QWidget

from app.widgets.plot_view import PlotView
from core import atomic_io

PNG_SCALE = 2


def save_png(widget: QWidget, path: Path) -> Path:
    """Write the widget as it is on the screen, at twice its size.

    Raises:
        AppError: `disk.full` or `folder.read_only`.
    """
    picture = QPixmap(widget.size() * PNG_SCALE)
    picture.setDevicePixelRatio(PNG_SCALE)
    picture.fill(widget.palette().window().color())
    widget.render(picture)
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    picture.save(buffer, "PNG")
    atomic_io.write_bytes(path, bytes(data.data()))
    return path


def save_svg(widget: QWidget, path: Path) -> Path:
    """Write the widget as vectors.

    Raises:
        AppError: `disk.full` or `folder.read_only`.
    """
    from PySide6.QtSvg import QSvgGenerator

    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    generator = QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(widget.size())
    generator.setViewBox(widget.rect())
    generator.setTitle(widget.accessibleName())
    views = widget.findChildren(PlotView)
    painter = QPainter(generator)
    for view in views:
        view.vector = True
    try:
        widget.render(painter, QPoint())
    finally:
        for view in views:
            view.vector = False
        painter.end()
    atomic_io.write_bytes(path, bytes(data.data()))
    return path


def free_path(folder: Path, stem: str, suffix: str) -> Path:
    """A file name in `folder` that is not taken: loss.png, loss-2.png."""
    number = 1
    path = folder / f"{stem}{suffix}"
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}{suffix}"
    return path
