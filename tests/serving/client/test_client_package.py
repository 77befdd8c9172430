import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dafsn_client.errors import ROW_STATUS
from dafsn_tf.preprocessing.status import Status


def test_the_client_loads_neither_tensorflow_nor_the_package():
    code = (
        "import sys, dafsn_client; "
        "print([name for name in sys.modules if name.split('.')[0] in ('tensorflow', 'keras', 'dafsn_tf')])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_row_statuses_are_the_exporters():
    assert set(ROW_STATUS) == {int(status) for status in Status} - {0}


@pytest.mark.slow
def test_the_wheel_installs_small_and_without_tensorflow(tmp_path):
    uv = shutil.which("uv", path=Path(sys.executable).parent)
    if uv is None:
        pytest.skip("needs uv beside Python; `make install` puts it there")

    def run(*command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    source = Path(__file__).parents[3] / "serving" / "dafsn_client"
    python = tmp_path / "venv" / "bin" / "python"
    run(uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path, source)
    run(uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    run(uv, "pip", "install", "--quiet", "--python", python, *tmp_path.glob("*.whl"))
    installed = sum(file.stat().st_size for file in (tmp_path / "venv").rglob("*") if file.is_file())
    assert installed < 100e6
    assert not list((tmp_path / "venv").rglob("tensorflow*"))
    assert run(python, "-c", "import dafsn_client; print(dafsn_client.Client('127.0.0.1:1').timeout)") == "10.0\n"
    assert "\n  query " in run(tmp_path / "venv" / "bin" / "dafsn-client", "--help")
