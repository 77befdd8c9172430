import subprocess
import sys

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
