"""A judge behind an OpenAI-compatible address: a hosted model, or one's own server.

Greedy, one message of the system and one of the user. A busy server (429), its faults (500 to 599) and lost connections
are tried again a few times, later each time; a reply that came is never asked for again, whatever it says.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

from videolavit.errors import ConfigError
from videolavit.evaluation.judges.interface import JudgeError
from videolavit.evaluation.judges.protocols import GradingProtocol

__all__ = ["KEY_VARIABLE", "ServerJudge"]

KEY_VARIABLE = "VIDEOLAVIT_JUDGE_KEY"
"""Environment variable with the key of the server; it never stands in a record."""
_MAX_TOKENS = 32
_LONGEST_REPLY = 1_000_000
"""Bytes of a response that are read."""


class ServerJudge:
    """A judge at an address; see the text of this module."""

    workers = 8

    def __init__(
        self, address: str, model: str, *, timeout_seconds: float = 60, tries: int = 4, wait: float = 1
    ) -> None:
        """Take an address; nothing is sent yet.

        Args:
            address: up to and without `/chat/completions`, such as `http://127.0.0.1:8000/v1`.
            model: name of the model there.
            timeout_seconds: for one reply.
            tries: for one prompt, in all.
            wait: seconds before the second try; doubled before each further one.

        Raises:
            ConfigError: no model is named.
        """
        if not model:
            raise ConfigError(f"got the judge {address} without a model; name it with --judge-model")
        self.address, self.model = address.rstrip("/"), model
        self._timeout, self._tries, self._wait = timeout_seconds, tries, wait

    def identity(self) -> dict[str, str]:
        return {"kind": "server", "model": self.model, "address": self.address, "temperature": "0"}

    def reply(self, protocol: GradingProtocol, prompt: str) -> str:
        messages = [{"role": "system", "content": protocol.system}, {"role": "user", "content": prompt}]
        document = {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": _MAX_TOKENS}
        reason = "none was sent"
        for attempt in range(self._tries):
            try:
                return self._ask(document)
            except _Busy as busy:
                reason = str(busy)
                if attempt + 1 < self._tries:
                    time.sleep(max(self._wait * 2**attempt, busy.seconds))
        raise JudgeError(f"{self.address}: no reply after {self._tries} tries: {reason}")

    def _ask(self, document: dict[str, Any]) -> str:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get(KEY_VARIABLE, '')}"}
        request = urllib.request.Request(
            f"{self.address}/chat/completions", json.dumps(document).encode(), headers, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:
                return _content(response.read(_LONGEST_REPLY))
        except urllib.error.HTTPError as error:
            if error.code == 429 or error.code >= 500:
                raise _Busy(f"status {error.code}", _seconds(error.headers.get("Retry-After"))) from error
            raise JudgeError(f"{self.address}: status {error.code}: {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise _Busy(str(error)) from error


class _Busy(Exception):  # noqa: N818 - a signal inside this module
    """It may be tried again, after some seconds."""

    def __init__(self, reason: str, seconds: float = 0) -> None:
        super().__init__(reason)
        self.seconds = seconds


def _content(body: bytes) -> str:
    try:
        return str(json.loads(body)["choices"][0]["message"]["content"] or "")
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise JudgeError(f"the server's response is not of the OpenAI form: {body[:200]!r}") from error


def _seconds(text: str | None) -> float:
    """Seconds of a Retry-After header, at most a minute."""
    try:
        return min(60.0, max(0.0, float(text or 0)))
    except ValueError:
        return 0.0
