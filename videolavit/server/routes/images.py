"""`/v1/images/generations` and `/v1/images/edits`: images of what a text says, by itself or about other images."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import secrets
import time
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from PIL import Image, PngImagePlugin

from videolavit.pipeline.outputs import GeneratedImage
from videolavit.server.api_error import ApiError
from videolavit.server.image_edits import edit_schema, edited_images, read_edit
from videolavit.server.model_tasks import ImageRequest, image_task
from videolavit.server.request_options import image_options, image_steps, model_size
from videolavit.server.schemas import ImageBody
from videolavit.server.services import services_of

__all__ = ["router"]


router = APIRouter()


@router.post("/v1/images/generations")
async def create_image(body: ImageBody, request: Request) -> dict[str, Any]:
    """Generate images of what a text says; the seed of each is one more than that of the one before."""
    return await _generated(body, (), request)


@router.post("/v1/images/edits", openapi_extra=edit_schema())
async def edit_image(request: Request) -> dict[str, Any]:
    """Generate images of what a text says about other images, which come as files of a form or as URLs."""
    services = services_of(request)
    body = await read_edit(request)
    services.check_model(body.model)
    images = [await services.gate.image(source, "image") for source in edited_images(body, services.limits.media)]
    return await _generated(body, tuple(images), request)


async def _generated(body: ImageBody, shown: tuple[np.ndarray, ...], request: Request) -> dict[str, Any]:
    services = services_of(request)
    services.check_model(body.model)
    limits, settings = services.limits, services.engine.model.settings
    if len(body.prompt) > limits.text_characters:
        raise ApiError(
            f"prompt: has more than {limits.text_characters} characters", code="invalid_value", param="prompt"
        )
    for name, value, most in (("n", body.n, limits.images), ("candidates", body.candidates, limits.candidates)):
        if (value or 1) > most:
            raise ApiError(f"{name}: got {value}, expected at most {most}", code="invalid_value", param=name)
    options = image_options(body, limits)
    asked = ImageRequest(
        prompt=body.prompt,
        n=body.n or 1,
        seed=secrets.randbits(48) if body.seed is None else body.seed,
        image=shown,
        candidates=body.candidates,
        options=options,
    )
    task = image_task(asked, steps=image_steps(options, settings))
    images = await services.run(request, lambda listener: services.submit_task(task, listener=listener))
    kind = body.output_format or "png"
    run = asyncio.get_running_loop().run_in_executor
    encoded = [await run(services.files, _encoded, image, kind) for image in images]
    width, height = model_size(options, settings) or images[0].pixels.shape[1::-1]
    return {
        "created": int(time.time()),
        "data": [{"b64_json": one, "revised_prompt": None} for one in encoded],
        "size": f"{width}x{height}",
        "output_format": kind,
    }


def _encoded(image: GeneratedImage, kind: str) -> str:
    """Base64 of an image file, with prompt, seed and options inside where the format has a place for them."""
    file, options = io.BytesIO(), {}
    if kind == "png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("comment", json.dumps(dict(image.metadata), sort_keys=True, default=str))
    elif kind == "webp":
        options["lossless"] = True
    else:
        options["quality"] = 95
    Image.fromarray(image.pixels).save(file, format=kind.upper(), **options)
    return base64.b64encode(file.getvalue()).decode()
