"""`/v1/videos`: videos as jobs, or at once; their content, remixes, edits and extensions."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, JSONResponse, Response

from videolavit.server.api_error import ApiError
from videolavit.server.engine import Event, Ticket
from videolavit.server.jobs import FILES, Job
from videolavit.server.model_tasks import video_task
from videolavit.server.schemas import RemixBody, VideoBody
from videolavit.server.services import Services, services_of
from videolavit.server.video_bodies import AskedVideo, asked_video, read_body, remixed
from videolavit.server.video_jobs import VideoJobs
from videolavit.video.io.write import write_video

__all__ = ["router"]

_CANCEL_SECONDS = 2.0
_POLL = {"openai-poll-after-ms": "1000"}
_BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"$ref": "#/components/schemas/VideoBody"}}
            for kind in ("application/json", "multipart/form-data")
        },
    }
}


router = APIRouter()


def _jobs(request: Request) -> VideoJobs:
    return request.app.state.video_jobs


@router.post("/v1/videos", openapi_extra=_BODIES)
async def create_video(request: Request) -> Response:
    """Start a job that makes a video from words, an image, other motion, or tokens; as JSON or as a form with files."""
    body = await read_body(request)
    return await _start(request, body, "generate")


@router.post("/v1/videos/sync", openapi_extra=_BODIES, response_class=FileResponse)
async def create_video_now(request: Request) -> Response:
    """Make a video and answer with the MP4 itself."""
    services = services_of(request)
    asked = await asked_video(await read_body(request), services, "generate")
    task = video_task(asked.request, steps=asked.steps)

    def submit(listener: Callable[[Event], None]) -> Ticket:
        return services.submit_task(task, listener=listener)

    video = await services.run(request, submit)
    data = await asyncio.get_running_loop().run_in_executor(services.files, _mp4, video)
    return Response(data, media_type="video/mp4", headers={"Content-Disposition": 'attachment; filename="video.mp4"'})


@router.post("/v1/videos/edits", openapi_extra=_BODIES)
async def edit_video(request: Request) -> Response:
    """Start a job that gives a video other motion: reversed, scaled, frozen, another's, or what a prompt says."""
    return await _start(request, await read_body(request), "edit")


@router.post("/v1/videos/extensions", openapi_extra=_BODIES)
async def extend_video(request: Request) -> Response:
    """Start a job that goes on from the end of a video; the result is that video with the new clips behind it."""
    return await _start(request, await read_body(request), "extend")


@router.post("/v1/videos/{video_id}/remix")
async def remix_video(video_id: str, body: RemixBody, request: Request) -> Response:
    """Start a job like an earlier one: the same seed and options, other words."""
    job = _job(services_of(request), video_id)
    return await _start(request, remixed(job, body.prompt), "generate", remixed_from_video_id=job.id)


@router.get("/v1/videos")
async def list_videos(
    request: Request,
    after: str | None = None,
    limit: Annotated[int, Query(ge=0, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    """List jobs, newest first unless told otherwise."""
    jobs = services_of(request).jobs.list()
    jobs = jobs if order == "asc" else jobs[::-1]
    if after is not None:
        places = [index for index, job in enumerate(jobs) if job.id == after]
        jobs = jobs[places[0] + 1 :] if places else []
    page = jobs[:limit]
    first, last = (page[0].id, page[-1].id) if page else (None, None)
    data = [job.as_api for job in page]
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": len(jobs) > limit}


@router.get("/v1/videos/{video_id}")
async def get_video(video_id: str, request: Request) -> Response:
    """Tell the state of a job."""
    return JSONResponse(_job(services_of(request), video_id).as_api, headers=_POLL)


@router.delete("/v1/videos/{video_id}")
async def delete_video(video_id: str, request: Request) -> dict[str, Any]:
    """Cancel a job, if it is under way, and remove it and its files."""
    services = services_of(request)
    job = _job(services, video_id)
    ticket = _jobs(request).cancel(job.id)
    if ticket is not None:
        await asyncio.wait([asyncio.wrap_future(ticket.future)], timeout=_CANCEL_SECONDS)
    await asyncio.get_running_loop().run_in_executor(services.files, services.jobs.delete, job.id)
    return {"id": job.id, "object": "video.deleted", "deleted": True}


@router.get("/v1/videos/{video_id}/content", response_class=FileResponse)
async def get_video_content(
    video_id: str, request: Request, variant: Literal["video", "thumbnail", "spritesheet"] = "video"
) -> Response:
    """Download a file of a job; a thumbnail is there as soon as motion has been written, by warping the keyframe."""
    services = services_of(request)
    job = _job(services, video_id)
    path = services.jobs.path(job.id, variant)
    if not path.is_file():
        if job.status == "completed":
            raise ApiError("the files of this video are gone", status=404, code="not_found", param="video_id")
        message = f"this video is not ready: its status is {job.status}"
        raise ApiError(message, status=409, code="not_ready", param="video_id")
    name, media_type = FILES[variant]
    return FileResponse(path, media_type=media_type, filename=f"{job.id}_{name}")


async def _start(
    request: Request, body: VideoBody, way: Literal["generate", "edit", "extend"], **state: Any
) -> Response:
    services = services_of(request)
    asked = await asked_video(body, services, way)
    task = video_task(asked.request, steps=asked.steps)
    run = asyncio.get_running_loop().run_in_executor
    job = await run(services.files, lambda: _jobs(request).start(task, **_state(services, asked), **state))
    return JSONResponse(job.as_api, headers=_POLL)


def _state(services: Services, asked: AskedVideo) -> dict[str, Any]:
    return {
        "model": services.model_name,
        "prompt": asked.request.prompt,
        "size": asked.size,
        "seconds": asked.seconds,
        "request": asked.again,
    }


def _job(services: Services, video_id: str) -> Job:
    job = services.jobs.get(video_id)
    if job is None:
        raise ApiError("there is no video of that id", status=404, code="not_found", param="video_id")
    return job


def _mp4(video: Any) -> bytes:
    with tempfile.TemporaryDirectory(prefix="videolavit-") as folder:
        path = write_video(video.frames, Path(folder) / "video.mp4", fps=video.fps, metadata=video.metadata)
        return path.read_bytes()
