import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import promql_parser
import pytest
from deploy_files import CONFIG, DEPLOY, both_flags, compose, load, manifests
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from serving_facts import SERIES, parse

SCHEMAS = Path(__file__).parent / "schemas"
_CODES = """
OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED UNAUTHENTICATED
RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS
"""
STATUSES = set(_CODES.split()) | {"success", "fail"}  # the latter two of load_attempt_count


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / name).read_text("utf-8"))


def rules() -> list[dict[str, Any]]:
    (group,) = load("prometheus/alerts.yaml")["groups"]
    return group["rules"]


def dashboard() -> dict[str, Any]:
    return json.loads((DEPLOY / "grafana" / "dashboard.json").read_text("utf-8"))


def panel_queries() -> list[tuple[str, str]]:
    replaced = {"$__rate_interval": "5m", "$model": ".*"}
    queries = []
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in replaced.items():
                expression = expression.replace(name, value)
            assert "$" not in expression, "an unknown variable"
            queries.append((panel["title"], expression))
    return queries


def queries() -> list[tuple[str, str]]:
    return [(rule["alert"], rule["expr"]) for rule in rules()] + panel_queries()


def nodes(expression: str) -> Iterator[promql_parser.Expr]:
    found: list[promql_parser.Expr] = []
    promql_parser.walk(promql_parser.parse(expression), lambda node: found.append(node))
    return iter(found)


def faults(expression: str) -> list[str]:
    """Return what a query asks for that nobody exports."""
    found, labels = [], set()
    for node in nodes(expression):
        if isinstance(node, promql_parser.VectorSelector):
            known = SERIES.get(node.name)
            if known is None:
                found.append(f"series {node.name}")
                continue
            labels |= known
            for matcher in node.matchers.matchers:
                if matcher.name not in known:
                    found.append(f"label {matcher.name} of {node.name}")
                if matcher.name == "status":
                    found += [f"status {value}" for value in matcher.value.split("|") if value not in STATUSES]
    for node in nodes(expression):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            found += [f"label {label}" for label in node.modifier.labels if label not in labels]
        if isinstance(node, promql_parser.BinaryExpr) and node.modifier and node.modifier.matching:
            found += [f"label {label}" for label in node.modifier.matching.labels if label not in labels]
        if isinstance(node, promql_parser.Call) and node.func.name == "histogram_quantile":
            inner = node.args[1]
            by_le = isinstance(inner, promql_parser.AggregateExpr) and inner.modifier and "le" in inner.modifier.labels
            if not (by_le and re.search(r"_bucket\b", str(inner))):
                found.append("a quantile of what is no histogram by le")
    return found


@pytest.mark.parametrize(
    ("name", "path"),
    [("prometheus.json", "prometheus/prometheus.yaml"), ("prometheus.rules.json", "prometheus/alerts.yaml")],
)
def test_prometheus_files_fit_their_schema(name: str, path: str) -> None:
    jsonschema.validate(load(path), schema(name))


def test_prometheus_schema_notices_a_misspelt_field() -> None:
    wrong = load("prometheus/prometheus.yaml")
    wrong["scrape_configs"][0]["metric_path"] = "/"
    with pytest.raises(jsonschema.ValidationError, match="metric_path"):
        jsonschema.validate(wrong, schema("prometheus.json"))


@pytest.mark.parametrize(("title", "expression"), queries())
def test_queries_ask_for_series_that_are_exported(title: str, expression: str) -> None:
    assert faults(expression) == []


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("sum(rate(:tensorflow:serving:request_counts[5m]))", "series :tensorflow:serving:request_counts"),
        ("rate(:tensorflow:serving:request_latency[5m])", "series :tensorflow:serving:request_latency"),
        (':tensorflow:serving:request_count{model="dafsn"}', "label model of :tensorflow:serving:request_count"),
        (':tensorflow:serving:request_count{status="Ok"}', "status Ok"),
        ("sum by (version) (:tensorflow:serving:request_count)", "label version"),
        (
            "histogram_quantile(0.9, sum(rate(:tensorflow:serving:request_latency_bucket[5m])))",
            "a quantile of what is no histogram by le",
        ),
    ],
)
def test_wrong_queries_are_noticed(expression: str, fault: str) -> None:
    assert faults(expression) == [fault]


def test_promql_that_does_not_parse_is_noticed() -> None:
    with pytest.raises(ValueError, match="parenthesis"):
        promql_parser.parse("sum by (le) rate(x[5m]")


def test_alerts_say_what_to_do_with_labels_that_they_have() -> None:
    for rule in rules():
        assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
        named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        kept: set[str] = set()
        for node in nodes(rule["expr"]):
            if isinstance(node, promql_parser.AggregateExpr):
                kept |= set(node.modifier.labels if node.modifier else [])
            elif isinstance(node, promql_parser.VectorSelector) and "sum" not in rule["expr"]:
                kept |= SERIES[node.name]
        assert named <= kept, rule["alert"]


def test_what_must_be_watched_is_watched() -> None:
    text = {rule["alert"]: rule["expr"] for rule in rules()}
    assert {"DafsnNothingAvailable", "DafsnErrorRatio", "DafsnLatency", "DafsnLoadFailed"} <= set(text)
    watched = " ".join(expression for _, expression in panel_queries())
    for series in SERIES:
        if not series.endswith(("_sum", "_count")):
            assert series in watched or series in " ".join(text.values()) or "warmup" in series, series


def test_prometheus_scrapes_where_the_server_answers() -> None:
    path = parse("MonitoringConfig", (CONFIG / "monitoring.config").read_text("utf-8")).prometheus_config.path
    port = both_flags()["compose.yaml"]["rest_api_port"]
    jobs = {job["job_name"]: job for job in load("prometheus/prometheus.yaml")["scrape_configs"]}
    assert jobs["tensorflow-serving"]["metrics_path"] == path
    for job in jobs.values():
        for static in job["static_configs"]:
            assert all(target.split(":")[0] in compose()["services"] for target in static["targets"])
    assert jobs["tensorflow-serving"]["static_configs"][0]["targets"] == [f"serving:{port}"]
    assert manifests()["Deployment"]["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"] == path
    for _, expression in queries():
        assert all(job in jobs for job in re.findall(r'job="([^"]*)"', expression))
    for file in load("prometheus/prometheus.yaml")["rule_files"]:
        assert (DEPLOY / "prometheus" / file).is_file()


def lost(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Return the paths of what is in ours and not, or otherwise, in theirs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            fault
            for key, value in ours.items()
            for fault in (lost(value, theirs[key], f"{path}/{key}") if key in theirs else [f"{path}/{key}"])
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [fault for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) for fault in lost(a, b, f"{path}/{i}")]
    return [] if ours == theirs else [path]


def through_sdk(data: dict[str, Any]) -> Any:
    register_default_plugins()  # the types of Prometheus' queries and of each kind of panel
    return json.loads(json.dumps(Dashboard.from_json(data), cls=JSONEncoder))


def test_dashboard_is_what_grafanas_own_types_hold() -> None:
    assert lost(dashboard(), through_sdk(dashboard())) == []


def test_dashboard_types_notice_a_misspelt_field() -> None:
    wrong = dashboard()
    panel = wrong["panels"][0]
    panel["gridpos"] = panel.pop("gridPos")
    panel["targets"][0]["legendFromat"] = panel["targets"][0].pop("legendFormat")
    panel["options"]["colourMode"] = panel["options"].pop("colorMode")
    assert sorted(lost(wrong, through_sdk(wrong))) == [
        "/panels/0/gridpos",
        "/panels/0/options/colourMode",
        "/panels/0/targets/0/legendFromat",
    ]


def test_panels_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    cells = [(p["x"] + i, p["y"] + j) for p in places for i in range(p["w"]) for j in range(p["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(places)


def test_dashboard_shows_what_was_asked_for() -> None:
    titles = {panel["title"] for panel in dashboard()["panels"]}
    assert titles >= {
        "Requests by status",
        "Error ratio",
        "Latency over gRPC",
        "Runtime latency",
        "Requests in a batch",
        "Queueing",
        "Memory",
    }
    (latency,) = [panel for panel in dashboard()["panels"] if panel["title"] == "Latency over gRPC"]
    assert [target["legendFormat"] for target in latency["targets"]] == ["p50", "p95", "p99"]


def test_grafana_is_provisioned_with_both() -> None:
    (source,) = load("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    (provider,) = load("grafana/provisioning/dashboards/dafsn.yaml")["providers"]
    services = compose()["services"]
    assert source["url"] == "http://prometheus:9090"
    assert "127.0.0.1:9090:9090" in services["prometheus"]["ports"]
    used = re.findall(r'"uid": "([^"]*)"', (DEPLOY / "grafana" / "dashboard.json").read_text("utf-8"))
    assert set(used) == {source["uid"], dashboard()["uid"]}
    targets = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/dashboard.json" in targets
    assert "/etc/grafana/provisioning" in targets
