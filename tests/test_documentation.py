"""The documentation holds together: links lead somewhere, every page can be found, examples say how they are run."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest
from pages import PROJECT, anchors, blocks, links, named_code, named_files, pages

from videolavit import cli
from videolavit.commands import train
from videolavit.commands._shared.model_info import look_at_model, model_folder


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_inside_the_project_lead_somewhere(page):
    for link in links(page):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{page.name} links to {link}, which does not exist"
        if anchor:
            assert anchor in anchors(file), f"{page.name} links to {link}, which has no such heading"


def test_every_page_of_the_docs_is_in_their_index():
    index = PROJECT / "docs" / "index.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in links(index) if "://" not in link}
    missing = {page for page in (PROJECT / "docs").rglob("*.md") if page != index} - listed
    assert not missing, f"add {sorted(path.name for path in missing)} to docs/index.md"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT)))
def test_blocks_of_code_say_what_they_are(page):
    for block in blocks(page):
        assert block.language in {"python", "console", "sh", "text", "json", "toml"}, (
            f"{page.name}:{block.line}: name its language; python and console blocks are run, the others are not"
        )


@pytest.mark.parametrize("page", [page for page in pages() if named_code(page)], ids=lambda page: page.name)
def test_named_code_is_defined_in_the_file_that_is_linked(page):
    for name, file in named_code(page):
        assert name in defined_names(file), f"{page.name} says that {name} is in {file.name}, where it is not"


@pytest.mark.parametrize("page", [page for page in pages() if named_files(page)], ids=lambda page: page.name)
def test_a_link_that_reads_like_a_file_leads_to_that_file(page):
    wrong = [name for name, file in named_files(page) if not f"/{file.as_posix()}".endswith(f"/{name}")]
    assert wrong == [], f"{page.name}: their targets have other names"


SHELL_PAGES = [page for page in pages() if any(block.language == "sh" for block in blocks(page))]


def shell_lines(page: Path) -> list[list[str]]:
    """Words of the command lines in the blocks that are not run."""
    text = "\n".join(block.text for block in blocks(page) if block.language == "sh").replace("\\\n", " ")
    lines = [part for line in text.splitlines() for part in re.split(r" \| | && ", line)]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def command_of(words: list[str]) -> list[str]:
    """Arguments of `videolavit` in a command line, also of one that torchrun or Python starts; none where there are."""
    words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
    if words[:1] == ["videolavit"]:
        return words[1:]
    return words[words.index("-m") + 2 :] if "-m" in words and words[words.index("-m") + 1] == "videolavit" else []


@pytest.mark.parametrize("page", SHELL_PAGES, ids=lambda page: page.name)
def test_commands_that_are_not_run_have_options_that_exist(page):
    for words in shell_lines(page):
        if words[0] == "python" and words[1].endswith(".py") and "/" in words[1]:
            assert (PROJECT / words[1]).is_file(), f"{page.name}: there is no {words[1]}"
        if arguments := command_of(words):
            name, *options = arguments
            if "--help" in options:
                continue
            config = cli._parse(name, cli._command(name), options)
            if name == "train":
                train._stage(config)


def test_a_command_is_found_behind_what_starts_it():
    assert command_of(["A=1", "torchrun", "--n", "2", "-m", "videolavit", "train", "x"]) == ["train", "x"]
    assert command_of(["videolavit", "info", "a"]) == ["info", "a"]
    assert command_of(["python", "-m", "http.server"]) == []


def test_every_equation_and_section_of_the_paper_is_in_its_table():
    page = PROJECT / "docs" / "paper.md"
    rows = re.findall(r"^\| (\(\d\)) \|", page.read_text(), re.MULTILINE)
    assert rows == ["(1)", "(2)", "(3)", "(4)", "(5)"]
    headings = [line for line in page.read_text().splitlines() if line.startswith("## Section ")]
    assert [heading[11:14] for heading in headings] == ["3.1", "3.2", "3.3", "4, "]


def defined_names(file: Path) -> set[str]:
    """What a file defines itself at its top, and as `Class.name` inside its classes; imported names do not count."""
    names = set()
    for node in ast.parse(file.read_text()).body:
        names |= _names(node)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{name}" for inner in node.body for name in _names(inner)}
    return names


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def test_a_name_that_a_file_only_imports_is_not_defined_there(tmp_path):
    (tmp_path / "code.py").write_text("from x import Y\nclass A:\n    b: int = 0\n    def c(self): ...\nD: dict = {}\n")
    assert defined_names(tmp_path / "code.py") == {"A", "A.b", "A.c", "D"}


def test_questions_of_examples_can_be_read_by_the_model_that_they_ask():
    """Those of commands and of `model`, on pages that are not about the released checkpoint."""
    folder = model_folder("tiny")
    assert folder is not None
    known = set(look_at_model(folder).as_dict()["known_words"])
    lines = [
        line
        for page in pages()
        if page.name != "released.md"
        for block in blocks(page)
        for line in block.text.splitlines()
        if re.search(r"\bvideolavit answer |\bmodel\.(stream_)?answer\(", line) and "--model" not in line
    ]
    lines += (importlib.import_module("videolavit.commands.answer").__doc__ or "").splitlines()
    questions = [question for line in lines for question in re.findall(r'"([^"]*)"', line) if "?" in question]
    assert len(questions) > 10
    for question in questions:
        words = re.findall(r"[a-z]+", re.sub(r"<\w+>", "", question).lower())
        assert set(words) <= known, f"{question!r} has words that the small model does not know"
