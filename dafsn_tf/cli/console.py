"""What commands share: where progress goes, and a quiet TensorFlow."""

import logging
import os
import sys


def say(line: str) -> None:
    """Write a line of progress to standard error; results go to standard output."""
    print(line, file=sys.stderr, flush=True)


def quiet_tensorflow() -> None:
    """Keep TensorFlow's start-up notes off the terminal; a user's own setting stands. Call before importing it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
