"""The parts of an HTML page: text is escaped here and nowhere else. Everything is inside the one file."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

from dafsn_tf.reporting.figure import Drawing


def page(title: str, introduction: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """Return the whole page.

    Args:
        title: of the page.
        introduction: HTML above the sections.
        sections: id, title and HTML of each; a list of links leads to them.
    """
    style = (resources.files("dafsn_tf.reporting") / "page.css").read_text(encoding="utf-8")
    links = "".join(f'<li><a href="#{name}">{escape(text)}</a></li>' for name, text, _ in sections)
    body = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{escape(text)}</h2>{content}'
        "</section>\n"
        for name, text, content in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1>{introduction}"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>\n<main>\n{body}</main>\n</body>\n</html>\n'
    )


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph; `kind` is its class in the stylesheet."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def heading(text: str) -> str:
    """Return a heading within a section."""
    return f"<h3>{escape(text)}</h3>"


def listed(texts: Iterable[str]) -> str:
    """Return a list of sentences."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def panels(drawings: Iterable[Drawing]) -> str:
    """Return figures side by side where there is room, each with its caption and its words for a screen reader."""
    figures = "".join(
        f'<figure><div role="img" aria-label="{escape(drawing.alt)}">{drawing.svg}</div>'
        f"<figcaption>{escape(drawing.caption)}</figcaption></figure>"
        for drawing in drawings
    )
    return f'<div class="panels">{figures}</div>'


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], named: int = 1) -> str:
    """Return a table; the first `named` cells of each row are its headings. A line break parts a cell's second line."""
    columns = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = []
    for row in rows:
        cells = "".join(f'<th scope="row">{escape(cell)}</th>' for cell in row[:named])
        cells += "".join(f"<td>{_two_lines(cell)}</td>" for cell in row[named:])
        lines.append(f"<tr>{cells}</tr>")
    return (
        f'<div class="scroll" role="region" aria-label="{escape(caption)}" tabindex="0"><table>'
        f"<caption><span>{escape(caption)}</span></caption><thead><tr>{columns}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
        "</div>"
    )


def folded(summary: str, content: str) -> str:
    """Return content that opens on demand."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def picture(encoded: bytes, alt: str, kind: str = "jpeg") -> str:
    """Return a picture inside the page."""
    data = base64.b64encode(encoded).decode()
    return f'<img alt="{escape(alt)}" src="data:image/{kind};base64,{data}">'


def _two_lines(cell: str) -> str:
    first, _, second = cell.partition("\n")
    return escape(first) + (f"<small>{escape(second)}</small>" if second else "")
