import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from deploy_files import CONFIG, DEPLOY
from google.protobuf import text_format
from google.protobuf.message import Message
from serving_facts import parse

from dafsn_tf.export.warmup import BATCH_SIZES

CONFIGS = [CONFIG / "models.config", *sorted((DEPLOY / "canary").iterdir())]
STEPS = [path.name for path in CONFIGS[1:]]
BATCHING = ["batching.config", "batching.gpu.config"]
PEM = "-----BEGIN {0}-----\nMIIB\n+/=\n-----END {0}-----\n"


def message(name: str, path: Path) -> Message:
    return parse(name, path.read_text("utf-8"))


def model(path: Path) -> tuple[set[int], dict[str, int]]:
    """Return the versions that a models.config serves, and its labels."""
    (config,) = message("ModelServerConfig", path).model_config_list.config
    assert (config.name, config.base_path, config.model_platform) == ("dafsn", "/models/dafsn", "tensorflow")
    assert config.model_version_policy.WhichOneof("policy_choice") == "specific"
    return set(config.model_version_policy.specific.versions), dict(config.version_labels)


def batching_faults(parameters: Message) -> list[str]:
    """Return why a server would refuse BatchingParameters, or every version under them."""
    sizes, largest = list(parameters.allowed_batch_sizes), parameters.max_batch_size.value
    faults = []
    if sizes and sizes != sorted(set(sizes)):
        faults.append("allowed_batch_sizes do not increase")
    if sizes and sizes[-1] != largest:
        faults.append("the last of allowed_batch_sizes is not max_batch_size")
    splitting = parameters.enable_large_batch_splitting.value
    if splitting != parameters.HasField("max_execution_batch_size"):
        faults.append("splitting and max_execution_batch_size go together")
    if splitting and parameters.max_execution_batch_size.value > largest:
        faults.append("max_execution_batch_size is above max_batch_size")
    return faults


class Labels:
    """The server's rule: a label in use moves only to a version that is AVAILABLE (SERVING.md section 4)."""

    def __init__(self, config: Path) -> None:
        self.served, self.labels = model(config)
        self.available = set(self.served)

    def apply(self, config: Path) -> None:
        served, labels = model(config)
        for label, version in labels.items():
            if self.labels.get(label, version) != version and version not in self.available:
                raise ValueError(f"Request to assign label to version {version} of model dafsn")
        self.served, self.labels = served, labels
        self.available &= served

    def wait(self) -> None:
        self.available = set(self.served)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_labels_point_to_served_versions(path: Path) -> None:
    served, labels = model(path)
    assert set(labels) == {"stable", "canary"}
    assert set(labels.values()) <= served


def test_first_deployment_starts_with_one_version() -> None:
    served, labels = model(CONFIG / "models.config")
    assert served == {1}
    assert labels == {"stable": 1, "canary": 1}


def test_steps_of_a_canary_are_the_order_that_the_server_accepts() -> None:
    server = Labels(CONFIG / "models.config")
    states = []
    for name in STEPS:
        server.apply(DEPLOY / "canary" / name)
        server.wait()
        states.append((server.served, server.labels["stable"], server.labels["canary"]))
    assert states == [({1, 2}, 1, 1), ({1, 2}, 1, 2), ({1, 2}, 2, 2), ({2}, 2, 2)]


@pytest.mark.parametrize("back", [("2-move-canary", "1-serve-both"), ("3-move-stable", "2-move-canary")])
def test_way_back_is_accepted_at_once(back: tuple[str, str]) -> None:
    server = Labels(DEPLOY / "canary" / f"{back[0]}.config")
    server.apply(DEPLOY / "canary" / f"{back[1]}.config")


def test_skipped_step_is_refused() -> None:
    server = Labels(CONFIG / "models.config")
    with pytest.raises(ValueError, match="version 2"):
        server.apply(DEPLOY / "canary" / "2-move-canary.config")
    server.apply(DEPLOY / "canary" / "1-serve-both.config")
    with pytest.raises(ValueError, match="version 2"):  # not waited for
        server.apply(DEPLOY / "canary" / "2-move-canary.config")


def test_comment_and_readme_name_every_step() -> None:
    for text in ((CONFIG / "models.config").read_text("utf-8"), (DEPLOY / "README.md").read_text("utf-8")):
        assert [name for name in STEPS if name.removesuffix(".config") not in text] == []


@pytest.mark.parametrize("name", BATCHING)
def test_batching_is_consistent(name: str) -> None:
    parameters = message("BatchingParameters", CONFIG / name)
    assert batching_faults(parameters) == []
    assert parameters.max_batch_size.value >= max(BATCH_SIZES), "a warm-up record would fail the load"
    assert not parameters.pad_variable_length_inputs


def test_only_the_gpu_file_pads_batches() -> None:
    sizes = [len(message("BatchingParameters", CONFIG / name).allowed_batch_sizes) for name in BATCHING]
    assert sizes[0] == 0
    assert sizes[1] > 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("max_batch_size { value: 16 } allowed_batch_sizes: [1, 8]", "not max_batch_size"),
        ("max_batch_size { value: 16 } allowed_batch_sizes: [8, 8, 16]", "do not increase"),
        ("max_batch_size { value: 16 } enable_large_batch_splitting { value: true }", "go together"),
        (
            "max_batch_size { value: 16 } max_execution_batch_size { value: 32 } "
            "enable_large_batch_splitting { value: true }",
            "above max_batch_size",
        ),
    ],
)
def test_inconsistent_batching_is_noticed(text: str, fault: str) -> None:
    assert fault in " ".join(batching_faults(parse("BatchingParameters", text)))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BatchingParameters", "max_batch_sizes { value: 1 }"),
        ("BatchingParameters", "max_batch_size: 1"),
        ("MonitoringConfig", "prometheus { enable: true }"),
        ("SSLConfig", 'server_key_file: "/etc/key.pem"'),
        ("ModelServerConfig", 'model_config_list { config { label: "stable" } }'),
    ],
)
def test_unknown_fields_are_refused(name: str, text: str) -> None:
    with pytest.raises(text_format.ParseError):
        parse(name, text)


def test_monitoring_is_on() -> None:
    prometheus = message("MonitoringConfig", CONFIG / "monitoring.config").prometheus_config
    assert prometheus.enable
    assert prometheus.path == "/monitoring/prometheus/metrics"


def test_tls_template_is_mutual_and_holds_no_key() -> None:
    config = message("SSLConfig", CONFIG / "ssl.config.template")
    assert config.client_verify
    assert config.custom_ca
    for pem in (config.server_key, config.server_cert, config.custom_ca):
        assert len(pem.splitlines()) == 3
        assert " " in pem.splitlines()[1], "a placeholder has spaces, base64 has none"
    assert "/config/ssl.config" in (DEPLOY / ".gitignore").read_text("utf-8").splitlines()


@pytest.mark.parametrize("mutual", [False, True])
def test_ssl_config_holds_the_files_text(tmp_path: Path, mutual: bool) -> None:
    pems = [PEM.format("PRIVATE KEY"), PEM.format("CERTIFICATE") * 2, PEM.format("CERTIFICATE").rstrip("\n")]
    paths = [tmp_path / name for name in ("key", "chain", "ca")][: 3 if mutual else 2]
    for path, pem in zip(paths, pems, strict=False):
        path.write_text(pem.replace("\n", "\r\n") if path.name == "chain" else pem)
    written = subprocess.run([DEPLOY / "ssl_config.sh", *paths], check=True, capture_output=True, text=True).stdout
    config = parse("SSLConfig", written)
    assert config.server_key == pems[0]
    assert config.server_cert == pems[1]
    assert config.custom_ca == (pems[2] + "\n" if mutual else "")
    assert config.client_verify is mutual


def test_ssl_config_refuses_what_is_no_pem(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"0\x82der")
    done = subprocess.run(
        [DEPLOY / "ssl_config.sh", tmp_path / "key", tmp_path / "key"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no PEM file" in done.stderr


def states(*names: str) -> str:
    """Return a status page as TensorFlow Serving writes it."""
    versions = ", ".join(
        f'{{\n   "version": "{number}",\n   "state": "{name}",\n   "status": {{\n    "error_code": "OK"\n   }}\n  }}'
        for number, name in enumerate(names, 1)
    )
    return f'{{\n "model_version_status": [\n  {versions}\n ]\n}}\n'


@pytest.mark.parametrize(
    ("code", "body", "ready"),
    [
        (200, states("AVAILABLE"), True),
        (200, states("END", "AVAILABLE"), True),
        (200, states("AVAILABLE", "LOADING"), True),
        (200, states("AVAILABLE").replace(" ", "").replace("\n", ""), True),
        (200, states("LOADING"), False),
        (200, states("END", "END"), False),
        (404, '{ "error": "Could not find any versions of model dafsn" }', False),
        (200, '{ "error": "UNAVAILABLE" }', False),
    ],
)
def test_ready_tells_by_the_states(code: int, body: str, ready: bool) -> None:
    asked = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        done = subprocess.run(["bash", CONFIG / "ready.sh", "dafsn", str(server.server_port)], timeout=10)
        server.shutdown()
    assert asked == ["/v1/models/dafsn"]
    assert (done.returncode == 0) is ready


def test_ready_fails_where_nothing_listens() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    done = subprocess.run(["bash", CONFIG / "ready.sh", "dafsn", str(port)], capture_output=True, timeout=10)
    assert done.returncode == 1
