"""What all job specs share: frozen, strict about unknown keys, a description on every field."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import ErrorCode, UsageError


class Spec(BaseModel):
    """Base of every job spec. Units stand in field names; ratios are 0 to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Validate `values`.

        Raises:
            UsageError: `input.bad_value` for the first bad field; `detail` lists all of them.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as e:
            first = e.errors()[0]
            raise UsageError(
                ErrorCode.BAD_VALUE,
                field=".".join(str(p) for p in first["loc"]),
                value=str(first.get("input", ""))[:80],
                detail="; ".join(f"{'.'.join(map(str, x['loc']))}: {x['msg']}" for x in e.errors()),
            ) from e


def field_errors(cls: type[Spec], values: dict[str, Any]) -> dict[str, str]:
    """All form errors at once: field path to pydantic's error type ("greater_than", ...)."""
    try:
        cls.model_validate(values)
    except ValidationError as e:
        return {".".join(str(p) for p in x["loc"]): x["type"] for x in e.errors()}
    return {}
