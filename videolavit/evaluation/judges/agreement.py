"""Agreement of a judge with verdicts that are known: of people, or of another judge, stored as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from videolavit.errors import ConfigError
from videolavit.evaluation.judges.interface import Judge, JudgeError
from videolavit.evaluation.judges.protocols import GradingProtocol

__all__ = ["Agreement", "agreement", "cohens_kappa", "read_known"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Of yes and no, and of scores."""

    n: int
    """Pairs of verdicts that could be compared."""
    malformed: int
    missing: int
    agreement: float
    """Share of equal verdicts."""
    kappa: float
    """Cohen's: 1 for always, 0 for no more than by chance."""
    score_correlation: float
    """Pearson's, of the scores; NaN where one side never changes."""


def read_known(path: Path) -> list[dict[str, Any]]:
    """Lines with question, truth, answer, and a known `right` (true or false) or `reply`, perhaps a `score`.

    Raises:
        ConfigError: a line is something else.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            values = json.loads(line)
            _ = values["question"], values["truth"], values["answer"]
            if "right" not in values:
                _ = values["reply"]
            elif not isinstance(values["right"], bool | None):
                raise TypeError(f"got {values['right']!r} as right")
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}, line {number}: expected question, truth, answer and right (true or false) or reply: {error}"
            ) from error
        found.append(values)
    if not found:
        raise ConfigError(f"{path}: holds no verdict")
    return found


def agreement(
    judge: Judge,
    protocol: GradingProtocol,
    known: Sequence[dict[str, Any]],
    *,
    progress: Callable[[int], object] | None = None,
) -> Agreement:
    """Ask a judge about answers whose verdicts are known.

    Raises:
        ConfigError: none of its replies can be compared.
    """
    pairs: list[tuple[bool, bool]] = []
    scores: list[tuple[float, float]] = []
    malformed = missing = 0
    for one in known:
        truth = protocol.parse(one["reply"]) if "right" not in one else None
        right, score = (one["right"], one.get("score")) if truth is None else (truth.right, truth.score)
        try:
            said = protocol.parse(judge.reply(protocol, protocol.prompt(one["question"], one["truth"], one["answer"])))
        except JudgeError:
            missing += 1
            continue
        malformed += said.malformed
        if said.right is not None and right is not None:
            pairs.append((bool(right), said.right))
        if said.score is not None and score is not None:
            scores.append((float(score), said.score))
        if progress is not None:
            progress(1)
    if not pairs:
        raise ConfigError(f"none of {len(known)} verdicts can be compared: {malformed} malformed, {missing} missing")
    return Agreement(
        n=len(pairs),
        malformed=malformed,
        missing=missing,
        agreement=sum(one == other for one, other in pairs) / len(pairs),
        kappa=cohens_kappa(pairs),
        score_correlation=_correlation(scores),
    )


def cohens_kappa(pairs: Sequence[tuple[bool, bool]]) -> float:
    """Agreement beyond chance; 1 where both sides always say the same one thing."""
    count = len(pairs)
    observed = sum(one == other for one, other in pairs) / count
    yes = [sum(side) / count for side in zip(*pairs, strict=True)]
    expected = yes[0] * yes[1] + (1 - yes[0]) * (1 - yes[1])
    return 1.0 if expected == 1 else (observed - expected) / (1 - expected)


def _correlation(scores: Sequence[tuple[float, float]]) -> float:
    values = np.array(scores, dtype=np.float64).reshape(-1, 2)
    if len(values) < 2 or (values.std(axis=0) == 0).any():
        return float("nan")
    one, other = (values - values.mean(axis=0)).T / values.std(axis=0)[:, None]
    return float((one * other).mean())
