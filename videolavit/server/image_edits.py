"""Bodies of `/v1/images/edits`: a form with files, as OpenAI's clients send it, or JSON with URLs."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from videolavit.server.api_error import ApiError
from videolavit.server.schemas import ImageEditBody

__all__ = ["edit_schema", "edited_images", "read_edit"]

_FILES = ("image", "image[]")
_MOST_FILES = 16
_MOST_FIELDS = 64
_FIELD_BYTES = 1_000_000


async def read_edit(request: Request) -> ImageEditBody:
    """The body of a request, whichever its form.

    Raises:
        RequestValidationError: a field is unknown or has a wrong value.
        ApiError: it is neither JSON nor a form, or a file stands where none belongs.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        form = await request.form(max_files=_MOST_FILES, max_fields=_MOST_FIELDS, max_part_size=_FIELD_BYTES)
        values = await _form_values(form)
    elif kind in ("application/json", ""):
        values = await _json(request)
    else:
        raise ApiError("expected multipart/form-data or application/json", status=415, code="unsupported_media_type")
    try:
        return ImageEditBody.model_validate(values)
    except ValidationError as error:
        found = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(found) from None


def edited_images(body: ImageEditBody, most: int) -> list[str | bytes]:
    """Files or URLs of the images that a prompt is about.

    Raises:
        ApiError: there is none, there are too many, or one is neither a file nor a URL.
    """
    given = body.image if isinstance(body.image, list) else [body.image]
    if not 1 <= len(given) <= most:
        raise ApiError(f"image: got {len(given)}, expected 1 to {most}", code="invalid_value", param="image")
    if not all(isinstance(one, str | bytes) for one in given):
        raise ApiError("image: expected files or URLs", code="invalid_value", param="image")
    return given


def edit_schema() -> dict[str, Any]:
    """The body for the OpenAPI document: the route reads it itself."""
    schema = ImageEditBody.model_json_schema()
    content = {kind: {"schema": schema} for kind in ("application/json", "multipart/form-data")}
    return {"requestBody": {"required": True, "content": content}}


async def _form_values(form: FormData) -> dict[str, Any]:
    """Fields of a form: `image` and `image[]` gathered in a list, the others as text."""
    values: dict[str, Any] = {}
    images: list[Any] = []
    for name, value in form.multi_items():
        if name in _FILES:
            images.append(await value.read() if isinstance(value, UploadFile) else value)
        elif isinstance(value, UploadFile):
            raise ApiError(f"{name}: is no field for a file", code="invalid_value", param=name)
        elif name in values:
            raise ApiError(f"{name}: came twice", code="invalid_value", param=name)
        elif value != "":
            values[name] = value
    return {**values, "image": images} if images else values


async def _json(request: Request) -> dict[str, Any]:
    try:
        values = await request.json()
    except (ValueError, RecursionError, json.JSONDecodeError):
        raise ApiError("the body is not JSON", code="invalid_json") from None
    if not isinstance(values, dict):
        raise ApiError("expected an object", code="invalid_value", param="body")
    return values
