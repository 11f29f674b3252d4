"""The documentation holds together: links lead somewhere, every page can be found, examples say how they are run."""

from __future__ import annotations

import pytest
from pages import PROJECT, anchors, blocks, links, pages


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
        assert block.language in {"python", "console", "sh", "text", "json"}, (
            f"{page.name}:{block.line}: name its language; python and console blocks are run, sh, text and json are not"
        )
