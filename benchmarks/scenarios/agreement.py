"""Whether a session answers as the model in Python does."""

from pathlib import Path

from scenarios.embedded_server import Figures, newest


def session_against_process(models: Path, run: Path, data: Path) -> Figures:
    """Ask every signature of an export as the demo's in a TF1 session, and the model it was made of in Python."""
    from dafsn_tf.export import ExportOptions
    from dafsn_tf.export.verification import TOLERANCE, compare
    from dafsn_tf.export.version import served
    from dafsn_tf.runs import load_run

    _, endpoints = served(load_run(run), data, ExportOptions(split="test"))
    vocabulary = (run / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    _, differences = compare(newest(models), endpoints, vocabulary)
    return {
        **{
            f"{signature}, max abs difference": max(
                found for name, found in differences.items() if name.startswith(f"{signature}.")
            )
            for signature in endpoints
        },
        "outputs compared": len(differences),
        f"above {TOLERANCE:g}": sum(difference > TOLERANCE for difference in differences.values()),
    }
