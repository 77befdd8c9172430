import shutil
from html.parser import HTMLParser

import pytest

from dafsn_tf.reporting import write_report


class Tables(HTMLParser):
    """The tables of a page: caption -> rows of cells, the heading first; a cell's small second line is left out."""

    def __init__(self, html):
        super().__init__()
        self.tables, self._rows, self._cell, self._small = {}, None, None, False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in ("th", "td", "caption"):
            self._cell = ""
        elif tag == "small":
            self._small = True

    def handle_data(self, data):
        if self._cell is not None and not self._small:
            self._cell += data

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self._rows[-1].append(self._cell)
            self._cell = None
        elif tag == "caption":
            self._caption, self._cell = self._cell, None
        elif tag == "table":
            self.tables[self._caption], self._rows = self._rows, None
        elif tag == "small":
            self._small = False


@pytest.fixture(scope="session")
def tables_of():
    """Reads the tables of a page: `tables_of(html)["caption"]` are its rows."""
    return lambda html: Tables(html).tables


@pytest.fixture(scope="session")
def report(tiny_run, tmp_path_factory):
    """The folder of a report of two runs that are copies of one another: (folder, lines of progress)."""
    data, run = tiny_run
    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(run.path, folder / "copy")
    lines = []
    write_report([run.path, folder / "copy"], data, folder / "out", write=lines.append)
    return folder / "out", lines
