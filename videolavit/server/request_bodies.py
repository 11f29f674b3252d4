"""Bodies of requests that clients send as JSON, or as forms with files: values for a schema."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData

from videolavit.server.api_error import ApiError

__all__ = ["json_object", "read_values", "refuse_if", "validated", "wrong_value"]

_MOST_FIELDS = 64
_FIELD_BYTES = 1_000_000

Body = TypeVar("Body", bound=BaseModel)


async def read_values(
    request: Request, form_values: Callable[[FormData], Awaitable[dict[str, Any]]], *, max_files: int
) -> dict[str, Any]:
    """Fields of a body by name; those of a form as `form_values` takes them.

    Raises:
        ApiError: it is neither a JSON object nor a form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await form_values(
            await request.form(max_files=max_files, max_fields=_MOST_FIELDS, max_part_size=_FIELD_BYTES)
        )
    if kind not in ("application/json", ""):
        raise ApiError("expected application/json or multipart/form-data", status=415, code="unsupported_media_type")
    try:
        values = await request.json()
    except (ValueError, RecursionError):
        raise ApiError("the body is not JSON", code="invalid_json") from None
    refuse_if(not isinstance(values, dict), "expected an object", "body")
    return values


def validated(schema: type[Body], values: dict[str, Any]) -> Body:
    """Values as a schema has them.

    Raises:
        RequestValidationError: a field is unknown or has a wrong value.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        found = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(found) from None


def json_object(text: str, name: str) -> Any:
    """A field that is JSON as text.

    Raises:
        ApiError: it is not.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ApiError(f"{name}: is not JSON", code="invalid_json", param=name) from None


def refuse_if(wrong: Any, message: str, param: str | None = None) -> None:
    """Raise `wrong_value` if something is so."""
    if wrong:
        raise wrong_value(message, param)


def wrong_value(message: str, param: str | None = None) -> ApiError:
    """The error of a field whose value does not fit."""
    return ApiError(f"{param}: {message}" if param else message, code="invalid_value", param=param)
