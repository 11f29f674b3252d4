"""A run of GQA in a process of its own that ends itself, as SIGKILL ends a process, at the moment that is asked for.

python killed_run.py DATA RECORD MOMENT; `never` lets it finish.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
sys.path.insert(0, str(TESTS))

from evaluation.answering_models import KnowingModel  # noqa: E402

from videolavit.evaluation import journal, record  # noqa: E402
from videolavit.evaluation.benchmark import BenchmarkOptions  # noqa: E402
from videolavit.evaluation.benchmarks.gqa import Gqa  # noqa: E402
from videolavit.evaluation.runner import run_all  # noqa: E402

MOMENTS = (
    "before the first batch",
    "after the second batch",
    "inside a line",
    "before the record",
    "inside the record",
)


class SmallBatches(Gqa):
    batch_size = 2


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def prepare(moment: str, path: Path) -> None:
    """Put the end where it belongs."""
    add, rename, write = journal.Journal.add, Path.replace, record.write_record

    def dying_add(self: journal.Journal, *arguments: object) -> None:
        dying_add.calls += 1  # type: ignore[attr-defined]
        if moment == MOMENTS[0]:
            die()
        add(self, *arguments)  # type: ignore[arg-type]
        if moment == MOMENTS[2] and dying_add.calls == 3:  # type: ignore[attr-defined]
            written = path.read_bytes()
            path.write_bytes(written[:-40])
            die()
        if moment == MOMENTS[1] and dying_add.calls == 2:  # type: ignore[attr-defined]
            die()

    def dying_rename(self: Path, target: Path) -> Path:
        if moment == MOMENTS[4] and self.name.endswith(".part"):
            die()
        return rename(self, target)

    def dying_write(*arguments: object) -> None:
        if moment == MOMENTS[3]:
            die()
        write(*arguments)  # type: ignore[arg-type]

    dying_add.calls = 0  # type: ignore[attr-defined]
    journal.Journal.add, Path.replace, record.write_record = dying_add, dying_rename, dying_write  # type: ignore


def main() -> None:
    data, output, moment = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    outcomes = output.with_suffix(".outcomes")
    prepare(moment, outcomes)
    benchmark = SmallBatches(BenchmarkOptions(data=data))
    model = KnowingModel(benchmark)
    runner = run_all(model, [benchmark], path=outcomes)
    record.write_record(output, record.record_of(runner, "gqa", model="a test"))
    print(model.asked)


if __name__ == "__main__":
    main()
