"""`/v1/tokens`: an image or a video as tokens, as text; `from_tokens` of `/v1/videos` is the way back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from videolavit.server.api_error import ApiError
from videolavit.server.model_tasks import TokensRequest, tokens_task
from videolavit.server.schemas import TokensBody
from videolavit.server.services import services_of
from videolavit.server.video_bodies import read_video

__all__ = ["router"]


router = APIRouter()


@router.post("/v1/tokens")
async def create_tokens(body: TokensBody, request: Request) -> dict[str, Any]:
    """Take an image or a video apart into tokens."""
    services = services_of(request)
    services.check_model(body.model)
    if (body.image is None) == (body.video is None):
        raise ApiError("expected either image or video", code="invalid_value", param="image")
    image = None if body.image is None else await services.gate.image(body.image, "image")
    video = await read_video(body.video, "video", services)
    task = tokens_task(TokensRequest(image=image, video=video))
    tokens = await services.run(request, lambda listener: services.submit_task(task, listener=listener))
    return {
        "object": "tokens",
        "model": services.model_name,
        "text": tokens.text,
        "ids": tokens.ids.tolist(),
        "clips": [
            {
                "keyframe": None if clip.keyframe is None else clip.keyframe.tolist(),
                "motion": None if clip.motion is None else clip.motion.tolist(),
                "num_frames": clip.num_frames,
            }
            for clip in tokens
        ],
    }
