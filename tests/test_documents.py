"""Links between the documents lead somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

_ROOT = Path(__file__).parents[1]
_DOCUMENTS = sorted(
    path.relative_to(_ROOT).as_posix()
    for room in (".", "docs", "benchmarks", "saved_models", "dafsn_tf/**", "serving/**", "tests/**")
    for path in _ROOT.glob(f"{room}/*.md")
)


def _anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives a document's headings: lower case, hyphens for spaces, no punctuation."""
    headings = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_every_link_within_the_repository_leads_somewhere(name: str) -> None:
    document = _ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        place = (document.parent / path).resolve() if path else document
        assert place.exists(), f"{name} links to {target}"
        assert not anchor or anchor in _anchors(place), f"{name} links to {target}"
