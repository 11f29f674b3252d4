"""Status of a server: models, health, readiness, version, measures."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from videolavit import __version__
from videolavit.server.api_error import ApiError
from videolavit.server.metrics import CONTENT_TYPE
from videolavit.server.services import Services, services_of

__all__ = ["router"]

router = APIRouter()


@router.get("/v1/models")
async def list_models(request: Request) -> dict[str, Any]:
    """List the models that are served: one."""
    return {"object": "list", "data": [_model(services_of(request))]}


@router.get("/v1/models/{model_id:path}")
async def get_model(model_id: str, request: Request) -> dict[str, Any]:
    """Tell about a model."""
    services = services_of(request)
    if model_id != services.model_name:
        raise ApiError("there is no model of that name", status=404, code="model_not_found", param="model_id")
    return _model(services)


@router.get("/health")
async def health() -> dict[str, str]:
    """Tell that the process lives."""
    return {"status": "ok"}


@router.get("/ready")
async def ready(request: Request) -> Response:
    """Tell whether requests are taken: 503 while the model is loaded and while the server stops."""
    state = services_of(request).engine.state
    return JSONResponse({"status": state}, status_code=200 if state == "ready" else 503)


@router.get("/version")
async def version() -> dict[str, str]:
    """Tell the version of this package."""
    return {"version": __version__}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Tell all measures, in Prometheus' text format."""
    services = services_of(request)
    text = await asyncio.get_running_loop().run_in_executor(services.files, services.metrics.text)
    return Response(text, media_type=CONTENT_TYPE)


def _model(services: Services) -> dict[str, Any]:
    return {"id": services.model_name, "object": "model", "created": services.created, "owned_by": "videolavit"}
