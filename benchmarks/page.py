"""The page as a person meets it: seconds until it can be used, and until another tab is on show.

    python benchmarks/page.py --runs 5

It starts `videolavit demo` with the small model, waits until the server says that it is ready, and opens the page in
Chromium, each time as a new visitor. The page keeps a stream to the server open for as long as it is shown, so its
network never falls silent: what counts is what can be seen. Needs `pip install playwright` and a chromium on the path.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SEEN_FIRST = ("#header h1", "#tabs button", "#apart-go")
"""Name of the page, its tabs, and the button of the first of them."""
OTHER_TAB, SEEN_THEN = "Generate", "#generate-video-go"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="visitors, one after another")
    runs = parser.parse_args().runs
    if CHROMIUM is None or importlib.util.find_spec("playwright") is None:
        print("needs playwright (pip install playwright) and a chromium on the path; nothing was measured")
        return
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        found = [visited(browser, f"{url}/demo/") for _ in range(runs)]
        browser.close()
    print(f"{os.cpu_count()} cores, {runs} visitors: median and largest")
    for name in found[0]:
        values = [one[name] for one in found]
        print(f"{name:>24}: {statistics.median(values):6.2f} s {max(values):6.2f} s")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Address of a page that is ready."""
    command = [sys.executable, "-m", "videolavit", "demo", "--port", "0", "--store", str(folder / "store")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"OMP_NUM_THREADS": "1", **os.environ})
    try:
        url = server.stdout.readline().split()[-1].removesuffix("/v1")
        while httpx.get(f"{url}/ready", timeout=60).status_code != 200:
            time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait(60)


def visited(browser: Any, url: str) -> dict[str, float]:
    """Seconds of one visitor who has never been here."""
    visitor = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        return seen(visitor.new_page(), url)
    finally:
        visitor.close()


def seen(page: Any, url: str, clock: Callable[[], float] = time.perf_counter) -> dict[str, float]:
    """Seconds until the page can be used, and from a click on another tab until that one is on show."""
    page.set_default_timeout(120_000)
    started = clock()
    page.goto(url, wait_until="commit")
    for selector in SEEN_FIRST:
        page.locator(selector).first.wait_for(state="visible")
    usable = clock()
    page.get_by_role("tab", name=OTHER_TAB, exact=True).click()
    page.locator(SEEN_THEN).wait_for(state="visible")
    return {"page can be used": usable - started, "another tab is on show": clock() - usable}


if __name__ == "__main__":
    main()
