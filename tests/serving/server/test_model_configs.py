"""A model config file: several models, policies, labels, and files that cannot be."""

import shutil
import time

import grpc
import pytest
from textfiles import written
from wire import caller, status_of

from dafsn_server.model_configs import read_model_configs
from dafsn_server.server import Server
from dafsn_server.versions import ModelConfig
from dafsn_tf.errors import ServingError


def entry(name, path, rest=""):
    return f'config {{ name: "{name}" base_path: "{path}" {rest} }}'


def configs(folder, *entries):
    return read_model_configs(written(folder, f"model_config_list {{\n{chr(10).join(entries)}\n}}", "models.config"))


def test_models_policies_and_labels_are_read(tmp_path):
    found = configs(
        tmp_path,
        entry("a", "/a", 'model_platform: "tensorflow"'),
        entry("b", "/b", "model_version_policy { all {} }"),
        entry("c", "/c", "model_version_policy { latest { num_versions: 2 } }"),
        entry(
            "d",
            "/d",
            "model_version_policy { specific { versions: 1 versions: 3 } } "
            'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 3 }',
        ),
    )
    base = tmp_path.root
    assert [(config.name, str(config.base_path)) for config in found] == [(name, f"{base}{name}") for name in "abcd"]
    assert [config.latest for config in found] == [1, 0, 2, 1]
    assert [config.specific for config in found] == [None, None, None, (1, 3)]
    assert found[3].labels == {"stable": 1, "canary": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it lists no model"),
        ("model_config_list {\n  confg { }\n}", r'models.config, line 2: .*no field named "confg"'),
        ('model_config_list {\n config {\n  name: "a" base_path: 3 }\n}', "line 3: "),
        ("model_config_list {", "line 1: "),
        (f"model_config_list {{ {entry('a', '/a')} {entry('a', '/b')} }}", "Illegal to list model a multiple"),
        (f"model_config_list {{ {entry('a', 'b')} }}", r"an absolute path or URI; got base_path\(\)=b"),
        (
            f"model_config_list {{ {entry('a', '/a', 'model_platform: `caffe`')} }}".replace("`", '"'),
            "Illegal to change a model's platform",
        ),
    ],
)
def test_files_that_cannot_be_used_are_told_with_their_name(tmp_path, text, message):
    with pytest.raises(ServingError, match=message) as caught:
        read_model_configs(written(tmp_path, text, "models.config"))
    assert str(caught.value).startswith(str(tmp_path / "models.config"))
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "models.config").write_bytes(b"\xff\xfe")
    with pytest.raises(ServingError, match=r"is no text\. Expected a ModelServerConfig in text form"):
        read_model_configs(tmp_path / "models.config")


def test_labels_answer_from_the_first_moment_on(toy_versions, tmp_path):
    found = configs(
        tmp_path,
        entry(
            "dafsn",
            toy_versions,
            "model_version_policy { specific { versions: 1 versions: 2 } } "
            'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }',
        ),
    )
    with (
        Server(found, port=0, host="127.0.0.1") as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        predict = caller(channel)
        for label, version in (("stable", 1), ("canary", 2)):
            assert predict(label=label, texts=["abc"]).model_spec.version.value == version
        assert predict(version=1, texts=["abc"]).outputs["sentence_features"].float_val[0] == 3.0
        assert predict(texts=["abc"]).model_spec.version.value == 2
        assert status_of(lambda: predict(label="old", texts=["a"])) == (
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: old",
        )


def test_a_label_on_a_version_that_is_not_served_refuses_the_start(toy_versions):
    config = ModelConfig("dafsn", toy_versions, labels={"stable": 1})
    with pytest.raises(ServingError, match="Request to assign label to version 1 of model dafsn, which is not"):
        Server([config], port=0, host="127.0.0.1")


def test_a_label_whose_version_has_ended(toy_versions, tmp_path):
    for version in "12":
        shutil.copytree(toy_versions / version, tmp_path / version)
    config = ModelConfig("dafsn", tmp_path, latest=0, labels={"stable": 1})
    with (
        Server([config], port=0, host="127.0.0.1", poll_seconds=0.1) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        predict = caller(channel)
        assert predict(label="stable", texts=["a"]).model_spec.version.value == 1
        shutil.rmtree(tmp_path / "1")
        deadline = time.monotonic() + 10
        while served(predict, label="stable") and time.monotonic() < deadline:
            pass
        assert status_of(lambda: predict(label="stable", texts=["a"])) == (
            "NOT_FOUND",
            "Servable not found for request: Specific(dafsn, 1)",
        )


def served(predict, **spec):
    try:
        return predict(texts=["a"], **spec)
    except grpc.RpcError:
        return None
