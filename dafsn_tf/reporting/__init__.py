"""Pictures, tables and pages; `write_report` makes the page of one run or several."""

from typing import Any

__all__ = ["write_report"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name != "write_report":
        raise AttributeError(f"module 'dafsn_tf.reporting' has no attribute '{name}'")
    from dafsn_tf.reporting.report import write_report

    return write_report
