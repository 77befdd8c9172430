"""The documents' figures are those of the run files, and their pictures are there."""

import re
import runpy
from pathlib import Path

from PIL import Image

_ROOT = Path(__file__).parents[1]


def test_the_documents_say_what_the_run_files_say() -> None:
    """`make results` would change neither RESULTS.md nor the README."""
    made = runpy.run_path(str(_ROOT / "benchmarks" / "results.py"))
    assert (_ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8") == made["results"]()
    assert (_ROOT / "README.md").read_text(encoding="utf-8") == made["readme"]()


def test_the_readmes_pictures_are_there_small_and_told_in_words() -> None:
    """Two pictures of `make pictures`, each under 200 kB and with a text for who does not see it."""
    made = runpy.run_path(str(_ROOT / "docs" / "pictures" / "renew.py"))["NAMES"].values()
    shown = re.findall(r'<img src="([^"]+)"[^>]*? alt="([^"]+)"', (_ROOT / "README.md").read_text(encoding="utf-8"))
    assert [path for path, _ in shown] == [f"docs/pictures/{name}" for name in made]
    for path, words in shown:
        assert len(words) > 60
        assert (_ROOT / path).stat().st_size < 200_000
        with Image.open(_ROOT / path) as picture:
            assert picture.width == 900
