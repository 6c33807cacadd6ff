"""Errors in the shape that OpenAI's clients read."""

from __future__ import annotations

import math
from typing import Any

from pydantic import ValidationError
from starlette.responses import JSONResponse

RETRY_AFTER_S = 2
"""When nothing better is known."""

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error",
    503: "service_unavailable_error",
}


class ApiError(Exception):
    """An answer that is an error.

    Args:
        status: HTTP status.
        message: what is wrong and what would be right, for people.
        param: the field at fault.
        code: stable word for programs.
        retry_after_s: with 429 and 503, when to come again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float = RETRY_AFTER_S,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "error": {
                "message": self.message,
                "type": _TYPES.get(self.status, "api_error"),
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> JSONResponse:
        """The whole HTTP answer; 429 and 503 say when to come again."""
        headers = {}
        if self.status in (429, 503):
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body(), self.status, headers)


def bad_value(message: str, param: str | None = None) -> ApiError:
    """A request that can never succeed as it is."""
    return ApiError(400, message, param=param, code="invalid_value")


def unavailable(message: str, code: str, retry_after_s: float = RETRY_AFTER_S) -> ApiError:
    """A request that may succeed later."""
    return ApiError(503, message, code=code, retry_after_s=retry_after_s)


def _is_field(part: int | str) -> bool:
    """Places name fields, items and, between them, which kind of value was tried."""
    kinds = ("str", "int", "float", "bool")
    return isinstance(part, int) or (part.isidentifier() and part.islower() and part not in kinds)


def from_validation(error: ValidationError) -> ApiError:
    """The first of pydantic's complaints; never repeats what the client sent."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    param = ".".join(str(p) for p in first["loc"] if _is_field(p)) or None
    where = f"{param}: " if param else ""
    return bad_value(where + first["msg"], param)
