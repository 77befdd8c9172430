"""A model config file: several models, policies, labels, and files that cannot be."""

import grpc
import pytest
from textfiles import written
from wire import answered, caller, status_of, until

from dafsn_server.config_file import ConfigFile
from dafsn_server.model_configs import read_model_configs
from dafsn_server.server import Server
from dafsn_server.versions import ModelConfig
from dafsn_tf.errors import ServingError


def entry(name, path, rest="", platform="tensorflow"):
    return f'config {{ name: "{name}" base_path: "{path}" model_platform: "{platform}" {rest} }}'


def configs(folder, *entries):
    return read_model_configs(written(folder, f"model_config_list {{\n{chr(10).join(entries)}\n}}", "models.config"))


def test_models_policies_and_labels_are_read(tmp_path):
    found = configs(
        tmp_path,
        entry("a", "/a"),
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


def test_a_model_type_stands_for_its_platform(tmp_path):
    (found,) = configs(tmp_path, 'config { name: "a" base_path: "/a" model_type: TENSORFLOW }')
    assert found.name == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it lists no model"),
        ("model_config_list {\n  confg { }\n}", r'models.config, line 2: .*no field named "confg"'),
        ('model_config_list {\n config {\n  name: "a" base_path: 3 }\n}', "line 3: "),
        ("model_config_list {", "line 1: "),
        (f"model_config_list {{ {entry('a', '/a')} {entry('a', '/b')} }}", "Illegal to list model a multiple"),
        (f"model_config_list {{ {entry('a', 'b')} }}", r"an absolute path or URI; got base_path\(\)=b$"),
        (f"model_config_list {{ {entry('a', '')} }}", r"an absolute path or URI; got base_path\(\)=$"),
        (
            f"model_config_list {{ {entry('a', '/a', platform='caffe')} }}",
            "Model a requests unsupported platform caffe",
        ),
        (
            f"model_config_list {{ {entry('a', '/a', platform='')} }}",
            r"Illegal setting neither ModelServerConfig::model_type \(deprecated\) nor",
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


def test_a_file_is_read_again(toy_versions, tmp_path, caplog):
    both = "model_version_policy { specific { versions: 1 versions: 2 } } version_labels { key: 'stable' value: %d }"
    found = configs(tmp_path, entry("dafsn", toy_versions, both % 1))
    with (
        Server(found, port=0, host="127.0.0.1") as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ConfigFile(tmp_path / "models.config", 0.05, server.configure),
    ):
        predict = caller(channel)
        assert predict(label="stable", texts=["a"]).model_spec.version.value == 1
        configs(tmp_path, entry("dafsn", toy_versions, both % 2))
        until(lambda: predict(label="stable", texts=["a"]).model_spec.version.value == 2)
        for text, told in (
            ("model_config_list {", "the model config file cannot be used, nothing was changed: "),
            (f"model_config_list {{ {entry('dafsn', toy_versions, both % 7)} }}", "assign label to version 7"),
        ):
            written(tmp_path, text, "models.config")
            until(lambda told=told: told in caplog.text)
            assert predict(label="stable", texts=["a"]).model_spec.version.value == 2
        server.configure([ModelConfig("other", toy_versions)])
        configs(tmp_path, entry("dafsn", toy_versions))
        until(lambda: answered(lambda: predict(texts=["a"])))
