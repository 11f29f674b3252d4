"""The interface of a judge."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from videolavit.evaluation.judges.protocols import GradingProtocol

__all__ = ["Judge", "JudgeError"]


class JudgeError(Exception):
    """A reply did not come: no connection, a time limit, or an error of the server."""


@runtime_checkable
class Judge(Protocol):
    """A language model that replies to the prompt of a grading protocol."""

    workers: int
    """Prompts that it takes at a time."""

    def identity(self) -> dict[str, str]:
        """Facts that tell it from every other judge, for the record."""
        ...

    def reply(self, protocol: GradingProtocol, prompt: str) -> str:
        """Reply to one prompt.

        Raises:
            JudgeError: it did not come.
        """
        ...
