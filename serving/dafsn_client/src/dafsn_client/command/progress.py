"""How far a long input is: a line on standard error."""

import sys
import time

_QUIET_SECONDS = 2.0  # what takes less needs no progress
_TERMINAL_SECONDS, _LOG_SECONDS = 0.2, 10.0


class Progress:
    """Counts answers; writes their number, rate and the time left, over itself on a terminal.

    Args:
        total: how many there will be; None where nobody knows.
        done: how many there are already.
    """

    def __init__(self, total: int | None, done: int = 0) -> None:
        self._total = total
        self._before = self._done = done
        self._start = time.monotonic()
        self._shown = 0.0

    def add(self, count: int) -> None:
        """Count more of them."""
        self._done += count
        now = time.monotonic()
        pause = _TERMINAL_SECONDS if sys.stderr.isatty() else _LOG_SECONDS
        if now - self._start >= _QUIET_SECONDS and now - self._shown >= pause:
            self._show(now)

    def end(self) -> None:
        """Leave the last state on the screen, where one was shown."""
        if self._shown:
            self._show(time.monotonic())
            if sys.stderr.isatty():
                print(file=sys.stderr, flush=True)

    def _show(self, now: float) -> None:
        self._shown = now
        rate = (self._done - self._before) / (now - self._start)
        parts = [f"{self._done:,}" + (f" of {self._total:,}" if self._total is not None else ""), f"{rate:.1f}/s"]
        if self._total is not None and rate:
            parts.append(f"{_duration((self._total - self._done) / rate)} left")
        start, end = ("\r\033[K", "") if sys.stderr.isatty() else ("", "\n")
        print(f"{start}{', '.join(parts)}", end=end, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
