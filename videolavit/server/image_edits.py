"""Bodies of `/v1/images/edits`: a form with files, as OpenAI's clients send it, or JSON with URLs."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from videolavit.server.request_bodies import read_values, refuse_if, validated
from videolavit.server.schemas import ImageEditBody

__all__ = ["edit_schema", "edited_images", "read_edit"]

_FILES = ("image", "image[]")
_MOST_FILES = 16


async def read_edit(request: Request) -> ImageEditBody:
    """The body of a request, whichever its form.

    Raises:
        RequestValidationError: a field is unknown or has a wrong value.
        ApiError: it is neither JSON nor a form, or a file stands where none belongs.
    """
    return validated(ImageEditBody, await read_values(request, _form_values, max_files=_MOST_FILES))


def edited_images(body: ImageEditBody, most: int) -> list[str | bytes]:
    """Files or URLs of the images that a prompt is about.

    Raises:
        ApiError: there is none, there are too many, or one is neither a file nor a URL.
    """
    given = body.image if isinstance(body.image, list) else [body.image]
    refuse_if(not 1 <= len(given) <= most, f"got {len(given)}, expected 1 to {most}", "image")
    refuse_if(not all(isinstance(one, str | bytes) for one in given), "expected files or URLs", "image")
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
            continue
        refuse_if(isinstance(value, UploadFile), "is no field for a file", name)
        refuse_if(name in values, "came twice", name)
        if value != "":
            values[name] = value
    return {**values, "image": images} if images else values
