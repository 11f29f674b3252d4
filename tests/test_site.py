"""The site of the documentation: it builds without a warning, has every page, and its links lead to it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from pages import PROJECT
from scripts import load_script

pytest.importorskip("mkdocs")  # the extra `docs`; `make docs` installs it


@pytest.fixture(scope="module")
def hooks():
    return load_script("docs/site_hooks.py")


def test_links_lead_to_where_the_site_has_what_they_name(hooks):
    assert hooks.site_uri("docs/tour.md") == "tour.md"
    assert hooks.site_uri("CONTRIBUTING.md") == "project/CONTRIBUTING.md"
    assert hooks.site_uri("videolavit/clip.py") == "reference/clip.md#videolavit.clip"
    assert hooks.site_uri("videolavit/video/motion/warp.py") == "reference/video.md#videolavit.video.motion.warp"
    assert hooks.site_uri("recipes/tiny.py") is None
    assert hooks.site_uri("videolavit/missing.py") is None


def test_every_public_module_is_in_the_reference(hooks):
    found = {name for names in hooks.modules().values() for name in names}
    assert {"videolavit.clip", "videolavit.video.clips.decompose", "videolavit.pipeline.model"} <= found
    assert len(found) == len(
        [p for p in (PROJECT / "videolavit").rglob("*.py") if p.stem not in ("__init__", "__main__")]
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_builds_without_a_warning(tmp_path, hooks):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    answer = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    for page in (PROJECT / "docs").glob("*.md"):
        assert (tmp_path / page.with_suffix(".html").name).is_file()
    reference = (tmp_path / "reference" / "video.html").read_text()
    assert 'id="videolavit.video.motion.warp.warp"' in reference
    outward = re.findall(r'href="(?!https?:|#|mailto:)([^"#]*\.(?:py|md))[#"]', (tmp_path / "tour.html").read_text())
    assert outward == [], "links to files that the site does not have"
