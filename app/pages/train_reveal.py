"""Bring a field with an error before the eyes of the person who is to correct it."""

from __future__ import annotations

from PySide6.QtWidgets import QScrollArea, QWidget

from app.widgets.form_row import FormRow

_MARGIN_PX = 80


def reveal(row: FormRow) -> None:
    """Give the field the focus and scroll to it; the focus alone does not scroll."""
    row.field.setFocus()
    place: QWidget | None = row
    while place is not None and not isinstance(place, QScrollArea):
        place = place.parentWidget()
    if not isinstance(place, QScrollArea):
        return
    if (body := place.widget()) is not None:
        body.adjustSize()  # a section that was unfolded a moment ago has no place yet
    place.ensureWidgetVisible(row, 0, _MARGIN_PX)
