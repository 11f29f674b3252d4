"""Records beside published values, as Markdown or JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from videolavit.evaluation.published import PUBLISHED, Published
from videolavit.evaluation.record import Record, estimate_from_json
from videolavit.evaluation.statistics import Estimate

__all__ = ["scores_text", "table_json", "table_markdown"]


def table_json(records: Mapping[str, Record]) -> list[dict[str, Any]]:
    """One entry for each headline measure of each record; `records` by their names."""
    rows = []
    for name, record in records.items():
        for task, line in record.scores.items():
            for published in _headlines(task, line["scores"]):
                rows.append(_row(name, task, published, line, record))
    return rows


def table_markdown(records: Mapping[str, Record]) -> str:
    """The same for people."""
    lines = [
        "| record | benchmark | measure | ours | 95 % interval | n | of | failed | paper | LLaVA-1.5-7B | note |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in table_json(records):
        ends = "" if row["low"] is None else f"{_plain(row['low'])} to {_plain(row['high'])}"
        cells = [row["record"], row["benchmark"], row["measure"], _plain(row["value"]), ends, str(row["n"])]
        cells += [str(row["official_count"] or ""), str(row["failed"])]
        cells += [_plain(row["paper"]), _plain(row["llava"]), row["note"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def scores_text(record: Record) -> str:
    """All scores of a record, for a terminal."""
    blocks = []
    for task, line in record.scores.items():
        rows = [(name, estimate_from_json(found)) for name, found in line["scores"].items()]
        width = max((len(name) for name, _ in rows), default=0)
        count = record.header["tasks"][task]["settings"].get("official_count")
        head = f"{task}: {line['n']} samples" + (f" of {count}" if count else "")
        head += f", {line['failed']} failed" if line["failed"] else ""
        head += f", {line['unusable']} without anything to measure" if line.get("unusable") else ""
        blocks.append("\n".join([head, *(f"  {name.ljust(width)}  {_with_interval(found)}" for name, found in rows)]))
        blocks += [f"  failed: {one['id']}: {one['reason']}" for one in line["failures"]]
    return "\n".join(blocks)


def _headlines(task: str, scores: Mapping[str, Any]) -> list[Published]:
    """Measures with a published value, or else the first one."""
    known = [one for one in PUBLISHED.get(task, ()) if one.measure in scores]
    first = next(iter(scores), None)
    return known or ([Published(measure=first, paper=None)] if first is not None else [])


def _row(name: str, task: str, published: Published, line: Mapping[str, Any], record: Record) -> dict[str, Any]:
    found = estimate_from_json(line["scores"][published.measure])
    scale = 100 if found.is_share and not _is_raw(published) else 1
    low, high = (value * scale if math.isfinite(value) else None for value in (found.low, found.high))
    settings = record.header["tasks"][task]["settings"]
    return {
        "record": name,
        "benchmark": task,
        "variant": settings.get("variant", ""),
        "measure": published.measure,
        "value": found.value * scale,
        "low": low,
        "high": high,
        "n": line["n"],
        "official_count": settings.get("official_count"),
        "failed": line["failed"],
        "paper": published.paper,
        "llava": published.llava,
        "note": published.note,
    }


def _is_raw(published: Published) -> bool:
    """True if a share is printed from 0 to 1 and not in per cent."""
    return published.measure in ("CLIPSIM", "frame similarity")


def _with_interval(found: Estimate) -> str:
    scale, unit = (100, " %") if found.is_share else (1, "")
    value = f"{found.value * scale:.2f}{unit}"
    if not math.isfinite(found.low):
        return f"{value}  (n {found.count})"
    return f"{value}  (95 % interval {found.low * scale:.2f} to {found.high * scale:.2f}, n {found.count})"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}"
