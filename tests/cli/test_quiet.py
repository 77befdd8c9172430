import os
import sys

import pytest

from dafsn_tf.cli.quiet import _without_notices


def test_notices_of_native_code_are_held_back_and_nothing_else(capfd):
    with _without_notices():
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n")
        os.write(2, b"I0000 00:00:1795561540.261181   28388 port.cc:153] oneDNN custom operations are on.\n")
        os.write(2, b"E0000 00:00:1795562651.657451   32481 some.cc:52] an error\n")
        print("Python's own", file=sys.stderr)
        assert "Python's own" in capfd.readouterr().err
    assert capfd.readouterr().err == "E0000 00:00:1795562651.657451   32481 some.cc:52] an error\n"
    os.write(2, b"I0000 00:00:1 later\n")
    assert "later" in capfd.readouterr().err


def test_an_error_while_loading_is_raised_with_what_was_written(capfd):
    def fail():
        with _without_notices():
            os.write(2, b"the library says why\n")
            raise ImportError("cannot load")

    with pytest.raises(ImportError, match="cannot load"):
        fail()
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == "the library says why\nafter\n"
