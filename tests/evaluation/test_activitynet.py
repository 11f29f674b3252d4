"""Exact match on ActivityNet-QA, all in all and by type, as its authors' script counts it."""

import pytest

from videolavit.evaluation.benchmark import BenchmarkOptions, Outcome
from videolavit.evaluation.benchmarks.video_qa import ACTIVITYNET_TYPES, ActivityNetQa
from videolavit.evaluation.question_benchmark import Question

RIGHT_OF = {"Motion": (9, 48), "Yes/No": (200, 262), "Number": (40, 315)}
"""Right answers and questions of a small equivalent of the script's example, whose share of right ones is 0.3984."""


def outcomes(benchmark):
    for kind, (right, count) in RIGHT_OF.items():
        for number in range(count):
            question = Question(
                id=f"{kind} {number}", prompts=("?",), group=f"video {number}", truth="yes", facts={"type": kind}
            )
            values = benchmark.score(question, ["Yes." if number < right else "no"])
            yield Outcome(id=question.id, group=question.group, values=values)


def test_shares_of_all_and_of_each_type():
    benchmark = ActivityNetQa(BenchmarkOptions())
    assert set(RIGHT_OF) <= set(ACTIVITYNET_TYPES)
    found = benchmark.summary(list(outcomes(benchmark)))
    assert found["exact match"].value == pytest.approx(249 / 625) == pytest.approx(0.3984)
    for kind, (right, count) in RIGHT_OF.items():
        assert found[f"exact match, {kind}"].value == pytest.approx(right / count)
        assert found[f"exact match, {kind}"].count == count
