import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from deploy_files import CONFIG, DEPLOY, both_flags, compose, container, flags, load, manifests
from serving_facts import FLAGS, HEALTH_SERVICES, parse

from dafsn_client import Client

KUBERNETES = ["1.30", "1.37"]
FILES_OF_FLAGS = ["model_config_file", "batching_parameters_file", "monitoring_config_file"]
NAME = {"app.kubernetes.io/name": "dafsn"}


def compose_schema(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True)


def pod() -> dict[str, Any]:
    return manifests()["Deployment"]["spec"]["template"]["spec"]


def batching() -> Any:
    return parse("BatchingParameters", (CONFIG / "batching.config").read_text("utf-8"))


def gibibytes(quantity: str) -> float:
    match = re.fullmatch(r"(\d+)(?:Gi|g)", quantity)
    assert match, quantity
    return float(match[1])


@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_fit_their_schema(version: str) -> None:
    kinds = manifests()
    assert set(kinds) == {
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "PersistentVolumeClaim",
        "NetworkPolicy",
    }
    for manifest in kinds.values():
        kubernetes_validate.validate(manifest, version, strict=True)


def test_schema_notices_a_misspelt_field() -> None:
    manifest = manifests()["Deployment"]
    manifest["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, KUBERNETES[0], strict=True)


def test_compose_fits_its_schema() -> None:
    done = compose_schema(DEPLOY / "compose.yaml")
    assert done.returncode == 0, done.stdout


def test_compose_schema_notices_a_misspelt_field(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DEPLOY / "compose.yaml").read_text("utf-8").replace("healthcheck:", "healthchek:"))
    done = compose_schema(wrong)
    assert done.returncode == 1
    assert "healthchek" in done.stdout


@pytest.mark.parametrize("path", ["kustomization.yaml", "kubernetes/tls/kustomization.yaml"])
def test_kustomizations_fit_their_schema_and_name_files_that_exist(path: str) -> None:
    schema = json.loads((Path(__file__).parent / "schemas" / "kustomization.json").read_text("utf-8"))
    kustomization = load(path)
    jsonschema.validate(kustomization, schema)
    named = kustomization.get("resources", []) + [
        file for generator in kustomization.get("configMapGenerator", []) for file in generator["files"]
    ]
    assert [name for name in named if not (DEPLOY / path).parent.joinpath(name).is_file()] == []


def test_kustomization_takes_every_manifest() -> None:
    assert set(load("kustomization.yaml")["resources"]) == {
        f"kubernetes/{path.name}" for path in (DEPLOY / "kubernetes").glob("*.yaml")
    }


def test_both_deployments_have_the_same_known_flags() -> None:
    both = both_flags()
    assert both["compose.yaml"] == both["deployment.yaml"]
    assert set(both["compose.yaml"]) <= FLAGS
    assert both["compose.yaml"]["enable_batching"] == "true"  # without it a batching file is refused


@pytest.mark.parametrize("argument", ["", "config/models.config", "--port"])
def test_what_is_no_flag_is_noticed(argument: str) -> None:
    with pytest.raises(AssertionError):
        flags(["--port=8500", argument])


def test_compose_takes_further_flags() -> None:
    with_tls = both_flags(DAFSN_SERVER_FLAGS="--ssl_config_file=/config/ssl.config")["compose.yaml"]
    assert with_tls["ssl_config_file"] == "/config/ssl.config"
    assert set(with_tls) <= FLAGS


def test_images_are_pinned_and_the_same() -> None:
    images = [service["image"] for service in compose()["services"].values()]
    assert all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in images)
    assert container()["image"] == images[0] == "tensorflow/serving:2.20.0"


def test_server_is_started_without_the_images_shell_script() -> None:
    assert compose()["services"]["serving"]["entrypoint"] == container()["command"]
    assert compose()["services"]["serving"]["init"] is True
    assert pod()["shareProcessNamespace"] is True


def test_files_of_flags_are_mounted() -> None:
    mounts = {mount["mountPath"]: mount["name"] for mount in container()["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    sources = {source["configMap"]["name"] for source in volumes[mounts["/config"]]["projected"]["sources"]}
    generators = {
        generator["name"]: generator["files"] for generator in load("kustomization.yaml")["configMapGenerator"]
    }
    assert set(generators) == sources
    in_cluster = {Path(file).name for files in generators.values() for file in files}
    assert all(file.startswith("config/") for files in generators.values() for file in files)
    assert "./config:/config:ro" in compose()["services"]["serving"]["volumes"]

    needed = [both_flags()["compose.yaml"][name] for name in FILES_OF_FLAGS] + [
        container()["readinessProbe"]["exec"]["command"][1]
    ]
    for path in needed:
        assert path.startswith("/config/")
        assert (CONFIG / Path(path).name).is_file()
        assert Path(path).name in in_cluster


def test_only_the_file_that_is_read_again_keeps_its_configmap_name() -> None:
    stable = [
        generator["files"]
        for generator in load("kustomization.yaml")["configMapGenerator"]
        if generator.get("options", {}).get("disableNameSuffixHash")
    ]
    assert stable == [["config/models.config"]]
    assert int(both_flags()["deployment.yaml"]["model_config_file_poll_wait_seconds"]) > 0


def test_models_are_mounted_read_only_where_the_config_looks() -> None:
    (config,) = parse("ModelServerConfig", (CONFIG / "models.config").read_text("utf-8")).model_config_list.config
    (mount,) = [mount for mount in container()["volumeMounts"] if mount["name"] == "models"]
    assert config.base_path == f"{mount['mountPath']}/{config.name}"
    assert mount["readOnly"]
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    claim = volumes["models"]["persistentVolumeClaim"]["claimName"]
    assert claim == manifests()["PersistentVolumeClaim"]["metadata"]["name"]
    (bound,) = [volume for volume in compose()["services"]["serving"]["volumes"] if volume.endswith(":/models:ro")]
    assert (DEPLOY / bound.split(":")[0]).resolve() == DEPLOY.parents[1] / "saved_models"


def test_ports_agree() -> None:
    named = both_flags()["compose.yaml"]
    ports = {"grpc": int(named["port"]), "http": int(named["rest_api_port"])}
    assert {port["name"]: port["containerPort"] for port in container()["ports"]} == ports
    service = manifests()["Service"]["spec"]
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == ports
    bound = [port.rsplit(":", 2) for port in compose()["services"]["serving"]["ports"]]
    assert bound == [["127.0.0.1", str(port), str(port)] for port in ports.values()]
    annotations = manifests()["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert int(annotations["prometheus.io/port"]) == ports["http"]


def test_ports_are_local_until_told_otherwise() -> None:
    for name, service in compose()["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert compose(DAFSN_BIND="0.0.0.0")["services"]["serving"]["ports"][0] == "0.0.0.0:8500:8500"


def test_service_is_headless_and_selects_the_pods() -> None:
    assert manifests()["Service"]["spec"]["clusterIP"] == "None"
    assert manifests()["Service"]["spec"]["selector"] == NAME
    assert manifests()["Deployment"]["spec"]["selector"]["matchLabels"] == NAME
    assert manifests()["Deployment"]["spec"]["template"]["metadata"]["labels"] == NAME
    assert manifests()["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == NAME
    target = manifests()["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", manifests()["Deployment"]["metadata"]["name"])


def test_only_prometheus_reaches_rest() -> None:
    policy = manifests()["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == NAME
    assert policy["policyTypes"] == ["Ingress"]
    callers = {port["port"]: rule.get("from") for rule in policy["ingress"] for port in rule["ports"]}
    assert set(callers) == {port["name"] for port in container()["ports"]}
    assert callers["grpc"] is None, "gRPC is for everyone"
    (prometheus,) = callers["http"]
    assert set(prometheus) == {"namespaceSelector", "podSelector"}, "one entry: the pod in that namespace, not either"
    assert prometheus["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}


def test_autoscaler_owns_the_number_of_pods() -> None:
    assert "replicas" not in manifests()["Deployment"]["spec"]
    assert manifests()["HorizontalPodAutoscaler"]["spec"]["minReplicas"] >= 2  # one may be drained


def test_probes_ask_what_the_server_answers() -> None:
    server = container()
    assert server["livenessProbe"]["grpc"]["service"] in HEALTH_SERVICES
    assert server["livenessProbe"]["grpc"]["port"] == int(both_flags()["deployment.yaml"]["port"])
    assert both_flags()["deployment.yaml"]["enable_grpc_healthcheck_service"] == "true"
    assert server["startupProbe"]["tcpSocket"]["port"] == "grpc"
    ready = server["readinessProbe"]["exec"]["command"]
    assert ready == compose()["services"]["serving"]["healthcheck"]["test"][1:]
    (config,) = parse("ModelServerConfig", (CONFIG / "models.config").read_text("utf-8")).model_config_list.config
    assert ready[2:] == [config.name]
    assert "${2:-8501}" in (CONFIG / "ready.sh").read_text("utf-8")
    assert os.access(CONFIG / "ready.sh", os.X_OK)


def test_times_leave_room_for_one_another() -> None:
    server, spec = container(), manifests()["Deployment"]["spec"]
    startup = server["startupProbe"]["periodSeconds"] * server["startupProbe"]["failureThreshold"]
    retries = 6 * int(both_flags()["deployment.yaml"]["load_retry_interval_micros"]) / 1e6
    assert retries < startup < spec["progressDeadlineSeconds"]
    pause = int(server["lifecycle"]["preStop"]["exec"]["command"][1])
    assert inspect.signature(Client).parameters["timeout"].default < pause < pod()["terminationGracePeriodSeconds"]


def test_threads_and_cpus_agree() -> None:
    named = both_flags()["deployment.yaml"]
    limits = compose()["services"]["serving"]["deploy"]["resources"]["limits"]
    cpus = {container()["resources"]["limits"]["cpu"], limits["cpus"]}
    cpus |= {named["tensorflow_intra_op_parallelism"], named["tensorflow_inter_op_parallelism"]}
    assert cpus == {str(batching().num_batch_threads.value)}
    assert gibibytes(container()["resources"]["limits"]["memory"]) == gibibytes(limits["memory"])
    assert container()["resources"]["requests"]["memory"] == container()["resources"]["limits"]["memory"]


def test_queue_is_full_before_the_thread_pool_is() -> None:
    parameters = batching()
    batches = parameters.max_enqueued_batches.value + parameters.num_batch_threads.value
    assert int(both_flags()["deployment.yaml"]["grpc_max_threads"]) >= batches * parameters.max_batch_size.value


def test_containers_have_no_more_rights_than_they_need() -> None:
    assert pod()["securityContext"]["runAsNonRoot"]
    assert pod()["automountServiceAccountToken"] is False
    rights = container()["securityContext"]
    assert rights["readOnlyRootFilesystem"]
    assert not rights["allowPrivilegeEscalation"]
    assert rights["capabilities"] == {"drop": ["ALL"]}
    serving = compose()["services"]["serving"]
    assert serving["read_only"]
    assert serving["cap_drop"] == ["ALL"]
    assert serving["user"] == f"{pod()['securityContext']['runAsUser']}:{pod()['securityContext']['runAsGroup']}"


def test_every_service_restarts_within_limits() -> None:
    for name, service in compose()["services"].items():
        assert service["restart"] == "unless-stopped", name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name


def test_mounted_folders_exist() -> None:
    for service in compose()["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith("./") or (DEPLOY / source).exists(), volume


def test_readme_names_files_that_exist() -> None:
    text = (DEPLOY / "README.md").read_text("utf-8")
    named = re.findall(
        r"`((?:config|canary|kubernetes|prometheus|grafana)/[\w./-]*|[\w-]+\.(?:yaml|sh|config|template))`", text
    )
    folders = [DEPLOY, CONFIG, DEPLOY / "canary"]
    made = {"ssl.config"}  # by ssl_config.sh
    assert len(named) > 10
    assert [
        name for name in named if name not in made and not any((folder / name).exists() for folder in folders)
    ] == []


def rendered(folder: Path) -> dict[str, dict[str, Any]]:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    documents = list(yaml.safe_load_all(done.stdout))
    for document in documents:
        kubernetes_validate.validate(document, KUBERNETES[-1], strict=True)
    return {f"{document['kind']}/{document['metadata']['name']}": document for document in documents}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl renders the kustomization")
def test_rendered_configmaps_are_the_ones_that_are_mounted() -> None:
    found = rendered(DEPLOY)
    (mounted,) = [
        [source["configMap"]["name"] for source in volume["projected"]["sources"]]
        for volume in found["Deployment/dafsn"]["spec"]["template"]["spec"]["volumes"]
        if "projected" in volume
    ]
    assert mounted[0] == "dafsn-models"
    assert re.fullmatch(r"dafsn-server-\w+", mounted[1])
    assert {name for name in found if name.startswith("ConfigMap/")} == {f"ConfigMap/{name}" for name in mounted}
    assert found[f"ConfigMap/{mounted[1]}"]["data"]["ready.sh"] == (CONFIG / "ready.sh").read_text("utf-8")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl renders the kustomization")
def test_tls_adds_the_secret_and_a_probe_that_needs_no_tls(tmp_path: Path) -> None:
    base = os.path.relpath(DEPLOY, tmp_path)
    overlay = {"resources": [base], "components": [f"{base}/kubernetes/tls"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    spec = rendered(tmp_path)["Deployment/dafsn"]["spec"]["template"]["spec"]
    (server,) = spec["containers"]
    assert flags(server["args"])["ssl_config_file"] == "/config/ssl.config"
    assert "grpc" not in server["livenessProbe"]
    assert server["livenessProbe"]["httpGet"] == {"port": "http", "path": "/v1/models/dafsn"}
    assert {"secret": {"name": "dafsn-tls"}} in spec["volumes"][1]["projected"]["sources"]
