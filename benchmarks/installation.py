"""Build the wheel, install it into an empty environment, and run the examples of README there.

    python benchmarks/installation.py                               with the versions of constraints.txt
    python benchmarks/installation.py --versions oldest newest      with the lowest and the highest that are allowed

`oldest` asks uv (`pip install uv`) for the lowest versions that pyproject.toml and the libraries allow together. In
both, torch stays at `--torch`: its old builds are not on every index, and its newest may be gigabytes for CUDA. Nothing
of the environment that runs this is used.
Prints a table: packages, megabytes, seconds of the installation, examples that ran, and what they wrote to stderr.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

PROJECT = Path(__file__).resolve().parent.parent
SHOWN_LINES = 3

PROGRAM = """
import re, shlex, sys, warnings
from pathlib import Path
sys.path = [entry for entry in sys.path if entry]  # the wheel, and not a checkout
from videolavit import cli
from videolavit.data.shapes import render, sample_scene
from videolavit.video import write_video
write_video(render(sample_scene(900_000_007)), "video.mp4", fps=6)
names, ran = {"__name__": "__example__"}, 0
for language, text in re.findall(r"^```(python|console)\\n(.*?)^```", Path(sys.argv[1]).read_text(), re.M | re.S):
    if language == "python":
        exec(compile(text, "README.md", "exec"), names)
        ran += 1
        continue
    for line in text.splitlines():
        assert cli.main(shlex.split(line.removeprefix("$ videolavit "))) == 0, line
        ran += 1
print("EXAMPLES", ran)
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the script."""

    versions: tuple[Literal["constraints", "oldest", "newest"], ...] = ("constraints",)
    torch: str = "2.13.0"
    """Version of torch for `oldest` and `newest`."""
    find_links: Path | None = None
    """Folder of wheels that uv looks into, too; pip reads its own configuration."""
    keep: Path | None = None
    """Folder for the environments; by default a temporary one."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One environment."""

    versions: str
    packages: int
    megabytes: float
    seconds: float
    examples: str
    complaints: list[str]


def main(options: Options) -> int:
    """Measure each, and print the table; 1 if an example failed."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        wheel = build_wheel(folder)
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB", flush=True)
        rows = [measure(versions, wheel, folder, options) for versions in options.versions]
    print("| versions | packages | MB | seconds | examples of README | lines on stderr |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        cells = (
            row.versions,
            row.packages,
            f"{row.megabytes:.0f}",
            f"{row.seconds:.0f}",
            row.examples,
            len(row.complaints),
        )
        print("|", " | ".join(map(str, cells)), "|")
        for line, times in Counter(row.complaints).most_common(SHOWN_LINES):
            print(f"    {times} x {line[:160]}")
    return int(any("failed" in row.examples for row in rows))


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout, built with setuptools of the environment that runs this."""
    source = folder / "source"  # in the checkout, a build folder would stay, and with it modules that were removed
    shutil.copytree(
        PROJECT / "videolavit", source / "videolavit", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(PROJECT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", str(source)]
    subprocess.run([*command, "-w", str(folder)], check=True)
    [wheel] = folder.glob("videolavit-*.whl")
    return wheel


def measure(versions: str, wheel: Path, folder: Path, options: Options) -> Row:
    """Install and run."""
    home = folder / versions
    venv.create(home, with_pip=True, clear=True)
    python = home / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    constraints = PROJECT / "constraints.txt"
    if versions != "constraints":
        constraints = folder / f"{versions}.txt"
        only_torch = f"torch=={options.torch}\n"
        constraints.write_text(oldest_versions(folder, options) if versions == "oldest" else only_torch)
    chosen = ["--upgrade", "-c", str(constraints)]
    started = time.perf_counter()
    subprocess.run([*pip, "install", "--quiet", *chosen, str(wheel)], check=True)
    seconds = time.perf_counter() - started
    packages = subprocess.run([*pip, "list", "--format", "freeze"], capture_output=True, text=True, check=True).stdout
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6
    examples, complaints = run_examples(python, home)
    count = len(packages.splitlines())
    return Row(
        versions=versions, packages=count, megabytes=size, seconds=seconds, examples=examples, complaints=complaints
    )


def oldest_versions(folder: Path, options: Options) -> str:
    """Constraints with the lowest versions of what the project names, and the newest of what that brings along."""
    (folder / "torch.txt").write_text(f"torch=={options.torch}\n")
    links = ["--find-links", str(options.find_links)] if options.find_links else []
    command = ["uv", "pip", "compile", "--quiet", "--python", sys.executable, "--resolution", "lowest-direct"]
    command += ["--override", str(folder / "torch.txt"), *links, "--no-header", "--no-annotate"]
    return subprocess.run(
        [*command, str(PROJECT / "pyproject.toml")], capture_output=True, text=True, check=True
    ).stdout


def run_examples(python: Path, home: Path) -> tuple[str, list[str]]:
    """How many examples ran, or which failed; and the lines that a user would have seen beside the results."""
    work = home / "work"
    work.mkdir()
    (home / "program.py").write_text(PROGRAM)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(
        [python, home / "program.py", PROJECT / "README.md"],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in answer.stderr.splitlines() if line.strip()]
    if answer.returncode:
        return f"failed: {lines[-1][:200]}", lines
    return answer.stdout.rpartition("EXAMPLES ")[2].strip(), lines


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
