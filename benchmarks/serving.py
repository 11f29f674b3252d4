"""A server under load: latency, goodput, refusals and memory at 1, 2, 4 and 8 times what it can take.

    python benchmarks/serving.py                       # about three minutes
    python benchmarks/serving.py --seconds 60 --loads 8
    python benchmarks/serving.py --together            # 16 chats at once against one after another; 4 videos
    python benchmarks/serving.py --together --model things

It starts `videolavit serve` with a small model. Requests arrive at random times whatever the server does (an open
loop: a client that waits for its answer before it asks again hides queues). Every answer is compared with the one that
the unloaded server gave to the same question. Capacity is measured first, by as many clients as the server has slots.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

QUESTIONS = ["Which colour is it?", "Which shape is it?", "Which way does it move?", "What happens here?"]
SLOTS = 16
WAIT_SECONDS = 0.2
"""Longest that a question may wait for its turn in the loaded server; what would wait longer is refused."""


@dataclass
class Outcome:
    seconds: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    wrong: int = 0
    other: Counter = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return len(self.seconds) + len(self.refused) + self.wrong + sum(self.other.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="of each load")
    parser.add_argument("--loads", type=float, nargs="+", default=[1, 2, 4, 8], help="times the capacity")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--together", action="store_true", help="measure batches against one after another instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server, url = start(Path(folder), arguments.model)
        try:
            if arguments.together:
                asyncio.run(together(url))
            else:
                asyncio.run(overload(url, server.pid, arguments.seconds, arguments.loads))
        finally:
            server.terminate()
            server.wait(60)


def start(folder: Path, model: str) -> tuple[subprocess.Popen, str]:
    options = ["--port", "0", "--store", str(folder / "store"), "--answer-wait-seconds", str(WAIT_SECONDS)]
    server = subprocess.Popen(
        [sys.executable, "-m", "videolavit", "serve", "--model", model, "--slots", str(SLOTS), *options],
        stdout=subprocess.PIPE,
        text=True,
        env={"OMP_NUM_THREADS": "1", **os.environ},
    )
    url = server.stdout.readline().split()[-1].removesuffix("/v1")
    while httpx.get(f"{url}/ready", timeout=60).status_code != 200:
        time.sleep(0.2)
    return server, url


def body(number: int, **more: object) -> dict:
    question = QUESTIONS[number % len(QUESTIONS)]
    return {"messages": [{"role": "user", "content": question}], "max_completion_tokens": 24, **more}


async def overload(url: str, pid: int, seconds: float, loads: list[float]) -> None:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
        right = [await answer(client, body(number)) for number in range(len(QUESTIONS))]
        unloaded = await one_after_another(client, right, 100)
        capacity = await closed_loop(client, right, 300, SLOTS)
        p95 = percentile(unloaded.seconds, 95)
        print(f"{cpu_name()}, {os.cpu_count()} cores, slots {SLOTS}, wait at most {WAIT_SECONDS} s")
        print(f"alone: p50 {1e3 * statistics.median(unloaded.seconds):.0f} ms, p95 {1e3 * p95:.0f} ms")
        print(f"capacity: {capacity:.1f} answers/s")
        print(f"{'load':>5} {'sent':>6} {'right':>6} {'429':>6} {'wrong':>5} {'other':>5} {'good/s':>7}", end="")
        print(f" {'p50':>6} {'p95':>6} {'p99':>6} {'429 max':>8} {'first MB':>9} {'last MB':>8}")
        process = psutil.Process(pid)
        for load in loads:
            before = process.memory_info().rss / 1e6
            outcome = await open_loop(client, right, load * capacity, seconds)
            after = process.memory_info().rss / 1e6
            times = [1e3 * percentile(outcome.seconds, q) for q in (50, 95, 99)]
            late = 1e3 * max(outcome.refused, default=0)
            print(
                f"{load:5g} {outcome.total:6} {len(outcome.seconds):6} {len(outcome.refused):6} {outcome.wrong:5}",
                end="",
            )
            print(f" {sum(outcome.other.values()):5} {len(outcome.seconds) / seconds:7.1f}", end="")
            print(f" {times[0]:6.0f} {times[1]:6.0f} {times[2]:6.0f} {late:8.0f} {before:9.0f} {after:8.0f}")
            if outcome.other:
                print(f"      others: {dict(outcome.other)}")


async def answer(client: httpx.AsyncClient, asked: dict) -> str:
    found = await client.post("/v1/chat/completions", json=asked)
    found.raise_for_status()
    return found.json()["choices"][0]["message"]["content"]


async def ask(client: httpx.AsyncClient, number: int, right: list[str], outcome: Outcome) -> None:
    started = time.perf_counter()
    try:
        found = await client.post("/v1/chat/completions", json=body(number))
    except httpx.HTTPError as error:
        outcome.other[type(error).__name__] += 1
        return
    seconds = time.perf_counter() - started
    if found.status_code == 429:
        outcome.refused.append(seconds)
    elif found.status_code != 200:
        outcome.other[found.status_code] += 1
    elif found.json()["choices"][0]["message"]["content"] != right[number % len(QUESTIONS)]:
        outcome.wrong += 1
    else:
        outcome.seconds.append(seconds)


async def one_after_another(client: httpx.AsyncClient, right: list[str], count: int) -> Outcome:
    outcome = Outcome()
    for number in range(count):
        await ask(client, number, right, outcome)
    return outcome


async def closed_loop(client: httpx.AsyncClient, right: list[str], count: int, clients: int) -> float:
    """Right answers per second of clients that each wait for their answer."""
    outcome, numbers = Outcome(), iter(range(count))

    async def one() -> None:
        for number in numbers:
            await ask(client, number, right, outcome)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    return len(outcome.seconds) / (time.perf_counter() - started)


async def open_loop(client: httpx.AsyncClient, right: list[str], rate: float, seconds: float) -> Outcome:
    """Requests at random times, on average `rate` a second."""
    outcome, random_times = Outcome(), random.Random(0)
    tasks, number = set(), 0
    due = started = time.perf_counter()
    while due - started < seconds:
        due += random_times.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.ensure_future(ask(client, number, right, outcome))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        number += 1
    await asyncio.gather(*tasks)
    return outcome


async def together(url: str) -> None:
    """Answers and videos per second, one after another and at once."""
    async with httpx.AsyncClient(base_url=url, timeout=300) as client:
        sampled = {"temperature": 2, "n": 1, "max_completion_tokens": 24}
        print(f"{cpu_name()}, {os.cpu_count()} cores")
        for name, count, clients, path, bodies in (
            ("chats", 160, 16, "/v1/chat/completions", lambda i: body(i, seed=i, **sampled)),
            ("videos", 8, 4, "/v1/videos/sync", lambda i: {"prompt": "a red circle moves right", "seed": i}),
        ):
            alone = await rate(client, path, bodies, count, 1)
            at_once = await rate(client, path, bodies, count, clients)
            print(
                f"{name}: one after another {alone:.2f}/s, {clients} at once {at_once:.2f}/s, {at_once / alone:.2f} x"
            )


async def rate(client: httpx.AsyncClient, path: str, bodies, count: int, clients: int) -> float:
    numbers, done = iter(range(count)), 0

    async def one() -> None:
        nonlocal done
        for number in numbers:
            while (found := await client.post(path, json=bodies(number))).status_code == 429:
                await asyncio.sleep(float(found.headers["retry-after-ms"]) / 1000)
            found.raise_for_status()
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    return done / (time.perf_counter() - started)


def percentile(values: list[float], q: float) -> float:
    ordered = sorted(values) or [float("nan")]
    return ordered[min(len(ordered) - 1, int(len(ordered) * q / 100))]


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor"
    )


if __name__ == "__main__":
    main()
