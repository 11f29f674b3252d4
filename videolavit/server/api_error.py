"""Errors as clients of OpenAI's API expect them: a status, and an object with message, type, param and code."""

from __future__ import annotations

import re
from typing import Any

from videolavit.errors import (
    CheckpointError,
    GenerationError,
    LimitError,
    MediaError,
    OutputError,
    TrainingError,
    VideoLaVITError,
)

__all__ = ["ApiError", "as_api_error", "public_message"]

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}

_OWN_FAULTS = (CheckpointError, GenerationError, OutputError, TrainingError)
"""Errors that a client cannot help; all others of the package are about its input."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PATH = re.compile(r"(?<![\w:/.])(?:/[\w.@+-]+){2,}/?")


class ApiError(VideoLaVITError):
    """An answer other than success.

    `status` is the HTTP status, `param` the field at fault, `code` a word for programs, `retry_after` seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | int | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.code, self.param = public_message(message), status, code, param
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        """JSON of the answer; all four keys are always there."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}

    @property
    def headers(self) -> dict[str, str]:
        """Those that belong to the status."""
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, round(self.retry_after)))
            headers["Retry-After-Ms"] = str(max(1, round(1000 * self.retry_after)))
        return headers


def as_api_error(error: BaseException) -> ApiError:
    """Any exception as an answer; those that are nobody's input say no more than that something failed."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, LimitError):
        return ApiError(str(error), status=400, code="media_too_large")
    if isinstance(error, MediaError):
        return ApiError(str(error), status=400, code="invalid_media")
    if isinstance(error, VideoLaVITError) and not isinstance(error, _OWN_FAULTS):
        return ApiError(str(error), status=400, code="invalid_value")
    return ApiError("the server failed at this request; its log says more", status=500, code="internal_error")


def public_message(message: str) -> str:
    """A message without what is nobody's business: object addresses and absolute paths of the server."""
    return _PATH.sub("<path>", _ADDRESS.sub("", message))
