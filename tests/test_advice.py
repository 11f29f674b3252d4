"""Advice in messages, help pages, recipes and documents can be followed: options and commands that they name exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import videolavit
from videolavit import cli

PACKAGE = Path(videolavit.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*")
COMMAND = re.compile(r"(?:`|^ +)videolavit ([a-z]+)", re.MULTILINE)
SUBCOMMANDS = {
    "prepare": (
        "videos",
        "shapes",
        "collages",
        "things",
        "things-sources",
        "images",
        "tokens",
        "latents",
        "text-tokenizer",
    ),
    "train": ("pretraining", "motion_tokenizer", "visual_tokenizer", "keyframe_detokenizer", "video_detokenizer"),
    "evaluate": ("shapes", "agreement", "compare", "table", "export"),
    "data": ("verify", "stats", "merge"),
}
ELSEWHERE = {
    *("--node-modules", "--ship", "--note", "--name", "--prefix"),  # of recipes, and of the programs that they start
    *("--nproc-per-node", "--out", "--whole"),  # torchrun's, and of scripts beside the package
    *("--jobs", "--folder", "--until", "--quick", "--only", "--show", "--accelerator"),  # of the recipes themselves
    "--digits",  # of the command that docs/extending.md adds
    "--form-string",  # curl's
}
OLD_NAMES = ("commands/_shared/arguments.py", "old_names.py")
"""Files that translate options of earlier versions and of other programs into those of today."""


def strings_of(path: Path) -> list[str]:
    """Texts of a file that a user may read: docstrings of modules, help, messages."""
    tree = ast.parse(path.read_text())
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def texts() -> list[tuple[str, str]]:
    files = [path for path in PACKAGE.rglob("*.py") if not str(path).endswith(OLD_NAMES)]
    return [(str(path.relative_to(PACKAGE)), text) for path in files for text in strings_of(path)]


def command_lines() -> list[tuple[str, str]]:
    """Lines of documents that run a command of ours, and the strings of recipes."""
    project = PACKAGE.parent
    pages = [project / "README.md", *(project / "docs").glob("*.md")]
    lines = [(page.name, line) for page in pages for line in page.read_text().splitlines()]
    ours = [(name, line) for name, line in lines if re.match(r"(\$ )?videolavit ", line.strip())]
    return ours + [(path.name, text) for path in (project / "recipes").glob("*.py") for text in strings_of(path)]


def test_commands_in_messages_exist():
    named = {(name, file) for file, text in texts() for name in COMMAND.findall(text)}
    assert len(named) > 30

    assert {(name, file) for name, file in named if name not in cli.COMMANDS} == set()


@pytest.mark.slow
def test_options_in_messages_exist(capsys):
    for name in cli.COMMANDS:
        for more in ((), *((kind,) for kind in SUBCOMMANDS.get(name, ()))):
            cli.main([name, *more, "--help"])
    known = set(OPTION.findall(capsys.readouterr().out)) | {"--version", "--debug", "--threads", "--quiet", "--help"}
    assert len(known) > 100
    named = {(option.rstrip("."), file) for file, text in texts() + command_lines() for option in OPTION.findall(text)}
    assert len(named) > 100
    assert {(option, file) for option, file in named if option not in known | ELSEWHERE} == set()
