"""Long work in one process after another: TensorFlow keeps memory of every model that a process has trained."""

import os
import sys
from typing import NoReturn

from dafsn_tf.cli.quiet import as_it_was

MODELS = 8  # that a process of a comparison trains, those of a choice of settings too; each leaves 0.1 to 0.3 GB


def go_on_afresh() -> NoReturn:
    """Replace this process by a fresh one of the same command, which finds what is done and goes on."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], as_it_was(os.environ))
