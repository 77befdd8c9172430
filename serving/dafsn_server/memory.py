"""`return_big_blocks`: memory of a big request goes back to the system when it is answered."""

import ctypes

_M_MMAP_THRESHOLD = -3
_BYTES = 8 << 20


def return_big_blocks() -> None:
    """Have the C library map every block of 8 MiB or more by itself, and unmap it when it is freed.

    By default glibc raises that bound to 32 MiB with the first such block, and then keeps some for each thread: a few
    requests of 32 MiB left a server 340 MB bigger, with this 60 MB. Elsewhere than on glibc nothing happens.
    """
    try:
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _BYTES)
    except (AttributeError, OSError, TypeError):
        return
