"""Lines of progress: how far long work is, how fast it goes, how long it takes still."""

import time
from collections.abc import Callable

LINE_EVERY = 10.0  # seconds between lines

Write = Callable[[str], None]  # receives progress, a line at a time
Progress = Callable[[int, int], None]  # receives what is done and what there is in all


def progress_lines(what: str, unit: str, write: Write) -> Progress:
    """Return a progress function that writes a line each `LINE_EVERY` seconds, and one at the end.

    Rate and time left count from the first call on: what comes before it, most often a compilation, tells nothing of
    what is to come.

    Args:
        what: is done, the line's first words.
        unit: of what is counted, in the plural.
        write: receives the lines.
    """
    first: tuple[float, int] | None = None
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal first, last
        now = time.monotonic()
        first = first or (now, done)
        if now - last < LINE_EVERY and done < total:
            return
        last = now
        rate = (done - first[1]) / (now - first[0]) if done > first[1] and now > first[0] else 0.0
        pace = f", {rate:,.{1 if rate < 100 else 0}f} {unit}/s" if rate else ""
        left = f", {(total - done) / rate / 60:.1f} min left" if rate and done < total else ""
        write(f"{what}: {done:,}/{total:,} {unit}{pace}{left}")

    return progress
