"""Locks against a second process; they end with the process that holds them, however it ends."""

import fcntl
import logging
from pathlib import Path


def locked(descriptor: int, path: Path, wait: bool = False) -> bool:
    """Return whether an open file or folder is now locked; False: another process holds the lock.

    Where the file system has no locks, which some network ones have not, a warning says so, and it counts as locked.

    Args:
        descriptor: of what is to be locked; closing it gives the lock back.
        path: its name, for the warning.
        wait: until the other process gives it back.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        logging.getLogger(__name__).warning(
            "%s cannot be locked (%s): see that no second command writes there meanwhile.", path, error.strerror
        )
    return True
