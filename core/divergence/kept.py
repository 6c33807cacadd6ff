"""State of a detector as plain JSON, named once."""

from __future__ import annotations

from typing import Any, ClassVar


class Kept:
    """Names the attributes that make up its state.

    Values are plain JSON or have `state` and `restore` themselves. A name that a state does not
    have (a checkpoint of an older version) keeps its fresh value.
    """

    KEPT: ClassVar[tuple[str, ...]] = ()

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {name: _plain(getattr(self, name)) for name in self.KEPT}

    def restore(self, state: dict[str, Any]) -> None:
        """Back to what `state` returned."""
        for name in self.KEPT:
            if name in state:
                self._restore_one(name, state[name])

    def _restore_one(self, name: str, value: Any) -> None:
        part = getattr(self, name)
        if hasattr(part, "restore"):
            part.restore(value)
        else:
            setattr(self, name, list(value) if isinstance(value, list) else value)


def _plain(value: Any) -> Any:
    if hasattr(value, "state"):
        return value.state()
    return list(value) if isinstance(value, list) else value
