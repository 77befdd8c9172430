"""The documents' figures are those of the run files."""

import runpy
from pathlib import Path

_ROOT = Path(__file__).parents[1]


def test_the_documents_say_what_the_run_files_say() -> None:
    """`make results` would change neither RESULTS.md nor the README."""
    made = runpy.run_path(str(_ROOT / "benchmarks" / "results.py"))
    assert (_ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8") == made["results"]()
    assert (_ROOT / "README.md").read_text(encoding="utf-8") == made["readme"]()
