"""The documentation cites what is there: files, links, sections; the picture of the layers is current."""

import re
import subprocess
import sys

import pytest
from helpers.import_graph import ROOT

pytestmark = pytest.mark.quick

PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md", "docs/glossary.md"]


def cited(text):
    """Files and folders of the repository that a text names between backticks."""
    found = re.findall(r"`((?:\.ci|prb|kernels|tests|docs|benchmarks|scenes)/[\w./-]*)`", text)
    return {name for name in found if "<" not in name}


def all_cited():
    return set().union(*(cited((ROOT / page).read_text(encoding="utf-8")) for page in PAGES))


@pytest.mark.parametrize("page", PAGES)
def test_cited_files_exist(page):
    missing = {n for n in cited((ROOT / page).read_text(encoding="utf-8")) if not (ROOT / n).exists()}
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.is_file(), f"{page}: {link}"
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.M)
            slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{page}: {link}"


def test_glossary_is_sorted_and_defines_each_term_once():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = [term.rstrip(".").lower() for term in re.findall(r"^\*\*(.+?)\*\*", text, flags=re.M)]
    assert len(terms) > 60 and terms == sorted(set(terms))


def test_code_cites_documents_that_are_here():
    """Sections of docs/architecture.md that docstrings and comments name, and no document from elsewhere."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", text, flags=re.M))
    for folder in ("prb", "kernels", "tests", "benchmarks"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            source = " ".join(file.read_text(encoding="utf-8").split())
            assert "DESIGN" + " section" not in source and "DESIGN" + ".md" not in source, file
            named = re.findall(r"docs/architecture\.md,? section (\d+(?:\.\d+)?)", source)
            assert set(named) <= sections, f"{file} cites {named}"


def test_picture_of_the_layers_is_what_the_imports_say():
    """If not: python docs/make_layers.py"""
    command = [sys.executable, str(ROOT / "docs" / "make_layers.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_citation_has_the_version_of_the_package():
    import prb

    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", text, flags=re.M) == [prb.__version__]
