"""`return_memory`: what big requests took goes back to the system after they are answered."""

import ctypes
import threading
import time

_M_MMAP_THRESHOLD = -3
_BLOCK_BYTES = 8 << 20
_SECONDS = 5.0


def return_memory() -> None:
    """Have the C library unmap blocks of 8 MiB when they are freed, and give back the free pages of the rest.

    By default glibc raises the bound for the first to 32 MiB with the first such block, and keeps pages that a message
    left in pieces for each thread: ten requests of 32 MiB left a server 340 MB bigger; unmapping alone brings that to
    100 to 160 MB, both to 70 to 90. Giving back takes 2 ms, each 5 s. Elsewhere than on glibc nothing happens.
    """
    try:
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _BLOCK_BYTES)
        trim = library.malloc_trim
    except (AttributeError, OSError, TypeError):
        return

    def run() -> None:
        while True:
            time.sleep(_SECONDS)
            trim(0)

    threading.Thread(target=run, name="return-memory", daemon=True).start()
