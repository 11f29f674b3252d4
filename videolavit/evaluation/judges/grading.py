"""Outcomes of a benchmark graded by a judge, each verdict once.

Verdicts are kept by judge, protocol and prompt in a file of JSON lines as they come, so that a run that was killed, and
another model that gave the same answer, find them. What did not come, and what came malformed, is counted by itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from videolavit.errors import OutputError
from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.files import cut_off, half_line
from videolavit.evaluation.judges.interface import Judge, JudgeError
from videolavit.evaluation.judges.protocols import GradingProtocol, Verdict

__all__ = ["ACCURACY", "MALFORMED", "MISSING", "SCORE", "Verdicts", "grade", "without_grades"]

_log = logging.getLogger(__name__)

ACCURACY, SCORE, MALFORMED, MISSING = "accuracy (judge)", "score (judge)", "malformed (judge)", "missing (judge)"
"""Measures that grading adds."""
_BEGINNING = '{"key": '
"""Of every line of a file of verdicts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    key: str
    question: str
    truth: str
    answer: str


class Verdicts:
    """Replies of judges by what was asked, in memory and, if there is a path, in a file.

    Raises:
        OutputError: the file cannot be read or written, or holds something else.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.replies: dict[str, str] = {}
        if path is not None and path.exists():
            self._read(path)

    def add(self, request: _Request, reply: str, judge: Mapping[str, str]) -> None:
        """Keep one reply."""
        self.replies[request.key] = reply
        line = {"key": request.key, "judge": dict(judge), "question": request.question, "truth": request.truth}
        line |= {"answer": request.answer, "reply": reply}
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise OutputError(f"{self._path}: verdicts cannot be written: {error}") from error

    def _read(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise OutputError(f"{path}: verdicts cannot be read: {error}") from error
        half = half_line(text, _BEGINNING)
        for number, line in enumerate(text.removesuffix(half).splitlines(), start=1):
            try:
                values = json.loads(line)
                self.replies[values["key"]] = values["reply"]
            except (ValueError, KeyError, TypeError) as error:
                raise OutputError(f"{path}, line {number}: is no verdict ({error}); choose another file") from error
        if half:  # killed in the middle of a line: that verdict is asked for again
            cut_off(path, half)


def grade(
    outcomes: Mapping[int, Outcome],
    judge: Judge,
    protocol: GradingProtocol,
    verdicts: Verdicts,
    *,
    progress: Callable[[int], object] | None = None,
) -> dict[int, Outcome]:
    """Outcomes with the values of their verdicts; failed samples are not shown to the judge and count as wrong.

    Args:
        outcomes: by number, of a benchmark that says which protocol it is graded by.
        judge: is asked for what `verdicts` do not hold.
        protocol: how.
        verdicts: are added to.
        progress: is told how many verdicts came.
    """
    identity = judge.identity()
    requests = {number: _request(one, protocol, identity) for number, one in outcomes.items() if not one.failure}
    waiting = {one.key: one for one in requests.values() if one.key not in verdicts.replies}
    lost: list[JudgeError] = []
    with ThreadPoolExecutor(judge.workers) as pool:
        for request, reply in pool.map(lambda one: (one, _reply(judge, protocol, one)), waiting.values()):
            if isinstance(reply, JudgeError):
                lost.append(reply)
            else:
                verdicts.add(request, reply, identity)
            if progress is not None:
                progress(1)
    if lost:
        _log.warning("%d of %d verdicts did not come; of the first: %s", len(lost), len(waiting), lost[0])
    return {
        number: _graded(one, protocol, verdicts.replies.get(requests[number].key) if number in requests else "")
        for number, one in outcomes.items()
    }


def without_grades(outcome: Outcome) -> Outcome:
    """An outcome as it was before any judge saw it."""
    values = {name: value for name, value in outcome.values.items() if not name.endswith("(judge)")}
    return replace(outcome, values=values, said={k: v for k, v in outcome.said.items() if k != "judge"})


def request_key(protocol: GradingProtocol, identity: Mapping[str, str], prompt: str) -> str:
    """Digest of judge, protocol and prompt."""
    content = json.dumps([dict(identity), protocol.digest, prompt], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _request(outcome: Outcome, protocol: GradingProtocol, identity: Mapping[str, str]) -> _Request:
    question = outcome.said.get("question", outcome.said["prompt"])
    truth, answer = str(outcome.said["truth"]), str(outcome.said["answer"])
    key = request_key(protocol, identity, protocol.prompt(question, truth, answer))
    return _Request(key=key, question=question, truth=truth, answer=answer)


def _reply(judge: Judge, protocol: GradingProtocol, request: _Request) -> str | JudgeError:
    try:
        return judge.reply(protocol, protocol.prompt(request.question, request.truth, request.answer))
    except JudgeError as error:
        return error


def _graded(outcome: Outcome, protocol: GradingProtocol, reply: str | None) -> Outcome:
    """`reply` is None if none came, and empty for a sample that failed before."""
    if outcome.failure:
        verdict: Verdict | None = Verdict(right=False if protocol.name == "video-qa" else None, score=0.0)
    else:
        verdict = None if reply is None else protocol.parse(reply)
    values: dict[str, Any] = {MISSING: verdict is None, MALFORMED: verdict is not None and verdict.malformed}
    if verdict is not None and verdict.right is not None:
        values[ACCURACY] = verdict.right
    if verdict is not None and verdict.score is not None:
        values[SCORE] = verdict.score
    said = {**outcome.said, "judge": reply} if reply else outcome.said
    return replace(outcome, values={**outcome.values, **values}, said=said)


def judge_facts(judge: Judge, protocols: Sequence[GradingProtocol]) -> dict[str, Any]:
    """Entry of the judge in a record: who it is, and the digests of what it was told."""
    return {**judge.identity(), "prompts": {one.name: one.digest for one in protocols}}
