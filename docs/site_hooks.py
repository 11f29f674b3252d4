"""What mkdocs needs to know of this repository: pages made of docstrings, and where links out of docs/ lead.

`docs/reference/` is not written by hand: one page for each part of the package holds what the docstrings of its modules
say. Links of a page to a source file lead to the module there; links to README and its kin to copies of them; of other
files, which the site does not have, the name alone stays.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path, PurePosixPath

from mkdocs.structure.files import File, Files, InclusionLevel  # pyright: ignore[reportMissingImports]

PROJECT = Path(__file__).parent.parent
PAGES_OF_THE_PROJECT = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def modules() -> dict[str, list[str]]:
    """Public modules by the part that they belong to, as the reference is cut into pages."""
    parts: dict[str, list[str]] = {}
    for path in sorted((PROJECT / "videolavit").rglob("*.py")):
        names = path.relative_to(PROJECT).with_suffix("").parts
        if names[-1] not in ("__init__", "__main__"):
            parts.setdefault(names[1], []).append(".".join(names))
    return parts


def on_config(config):
    """Take the menu from the index of the documentation: its headings, and the pages that each lists."""
    menu: list[dict[str, list[str]] | str] = ["index.md"]
    for line in (PROJECT / "docs" / "index.md").read_text().splitlines():
        if line.startswith("## "):
            menu.append({line.removeprefix("## "): []})
        elif (found := re.match(r"- \[[^\]]+\]\(([\w-]+\.md)\)", line)) and isinstance(menu[-1], dict):
            next(iter(menu[-1].values())).append(found[1])
    of_the_project = ["reference/index.md", *(f"project/{name}" for name in PAGES_OF_THE_PROJECT)]
    config.nav = [*menu, {"Project": of_the_project}]
    return config


def on_files(files: Files, config):
    """Add the pages that are no files of docs/."""
    for part, names in modules().items():
        entries = "\n".join(_help_text(name) if part == "commands" else f"::: {name}\n" for name in names)
        text = f"# videolavit.{part}\n\n{entries}"
        # Their index lists them; in the menu they would hide everything else.
        files.append(File.generated(config, f"reference/{part}.md", content=text, inclusion=InclusionLevel.NOT_IN_NAV))
    listed = "\n".join(f"- [videolavit.{part}]({part}.md): {len(names)} modules" for part, names in modules().items())
    about = "The docstrings of each part, with the code. [Design](../design.md) says how the parts fit together."
    files.append(File.generated(config, "reference/index.md", content=f"# Reference\n\n{about}\n\n{listed}\n"))
    for name in PAGES_OF_THE_PROJECT:
        files.append(File.generated(config, f"project/{name}", content=(PROJECT / name).read_text()))
    return files


def _help_text(name: str) -> str:
    """Entry of a command: its docstring is the help that the terminal shows, line by line."""
    source = PROJECT.joinpath(*name.split(".")).with_suffix(".py").read_text()
    return f"## {name} {{ #{name} }}\n\n```text\n{ast.get_docstring(ast.parse(source))}\n```\n"


def on_page_markdown(markdown: str, page, config, files):
    """Lead the links of a page to where the site has what they name."""
    if page.file.src_uri.startswith("reference/"):
        return markdown
    # Where the page lies in the repository, which its links are relative to.
    own = PurePosixPath(page.file.src_uri)
    home = PurePosixPath() if own.parts[0] == "project" else PurePosixPath("docs") / own.parent
    pieces = _FENCE.split(markdown)
    return "".join(piece if piece.startswith("```") else _rewritten(piece, own, home) for piece in pieces)


def _rewritten(text: str, own: PurePosixPath, home: PurePosixPath) -> str:
    def replaced(match: re.Match[str]) -> str:
        image, words, link = match.groups()
        if "://" in link or link.startswith("#"):
            return match[0]
        target, _, anchor = link.partition("#")
        uri = site_uri(posixpath.normpath(home / target))
        if uri is None:
            return words
        uri, _, made = uri.partition("#")
        anchor = made or anchor
        here = posixpath.relpath(uri, own.parent) + (f"#{anchor}" if anchor else "")
        return f"{image}[{words}]({here})"

    return _LINK.sub(replaced, text)


def site_uri(path: str) -> str | None:
    """Where the site has a file of the repository, by the path of its source; None for what it does not have."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/") or "index.md"
    if path in PAGES_OF_THE_PROJECT:
        return f"project/{path}"
    module = path.removesuffix(".py").replace("/", ".")
    part = module.split(".")[1] if module.startswith("videolavit.") else ""
    if path.endswith(".py") and module in modules().get(part, []):
        return f"reference/{part}.md#{module}"
    return None
