import json

import pytest

from dafsn_tf.data.problems import Problems
from dafsn_tf.data.sources import jsonl
from dafsn_tf.errors import DataError


def read(source):
    problems = Problems()
    return list(jsonl.read(source, problems)), problems


def test_six_items(jsonl_source):
    source = jsonl_source(
        [
            {"image": "a/1.png", "texts": ["A cat.", "Sleeping."], "label": "cat", "split": "train"},
            {"image": "a/2.png", "texts": ["A dog and a car."], "label": ["dog", "car", "dog"], "split": "test"},
            {"image": "a/3.png", "texts": ["No label."], "id": "third"},
            {"image": "4.png", "texts": ["Nothing given."], "label": None, "split": None, "id": None},
            {"image": "5.png", "texts": ["No classes."], "label": []},
            {"image": "6.png", "texts": ["Other fields."], "label": " cat ", "licence": "CC0"},
            {"image": "7.png", "texts": ["One class."], "label": ["caf\u00e9", "cafe\u0301"]},
        ]
    )
    items, problems = read(source)
    assert [item.id for item in items] == ["a/1.png", "a/2.png", "third", "4.png", "5.png", "6.png", "7.png"]
    assert [item.labels for item in items] == [("cat",), ("dog", "car"), (), (), (), ("cat",), ("caf\u00e9",)]
    assert [item.split for item in items] == ["train", "test", *[None] * 5]
    assert items[0].texts == ("A cat.", "Sleeping.")
    assert items[0].image == source / "a/1.png"
    assert problems.entries == []
    assert dict(problems.skipped) == {"unknown field 'licence'": 1}


@pytest.mark.parametrize(("field", "meant"), [("labels", "label"), ("Split", "split"), ("ID", "id")])
def test_a_field_that_is_nearly_a_known_one_is_asked_about(field, meant, jsonl_source):
    _, problems = read(jsonl_source([{"image": "1.png", "texts": ["A"], field: "x"}]))
    assert dict(problems.skipped) == {f"unknown field '{field}' (is it '{meant}'?)": 1}


def test_byte_order_mark_crlf_and_blank_lines(jsonl_source):
    source = jsonl_source([{"image": "1.png", "texts": ["A"]}, {"image": "2.png", "texts": ["B"]}])
    path = source / "items.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    items, problems = read(source)
    assert [item.id for item in items] == ["1.png", "2.png"]
    assert problems.entries == []


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("image 1.png", "not JSON: Expecting value at column 1"),
        ('{"image": "1.png"', "not JSON: Expecting ',' delimiter at column 18"),
        ('["1.png"]', "expected an object such as "),
        ("[" * 100_000, "not usable JSON: "),
        ('{"texts": ["A"]}', "'image' must be a path, found no such field, only 'texts'"),
        ('{"image": 3, "texts": ["A"]}', "'image' must be a path, found the number 3"),
        ('{"image": "1.png", "texts": "A"}', "'texts' must be a list of strings, found the string \"A\""),
        (
            '{"image": "1.png", "caption": "A"}',
            "'texts' must be a list of strings, found no such field, only 'image', 'caption'",
        ),
        ('{"image": "1.png", "texts": ["A", null]}', "'texts' must be a list of strings, found null in it"),
        (
            '{"image": "1.png", "texts": ["A"], "label": 3}',
            "'label' must be a class name, a list of class names or absent, found the number 3",
        ),
        ('{"image": "1.png", "texts": ["A"], "label": ["dog", ""]}', "'label' must be a class name, "),
        (
            '{"image": "1.png", "texts": ["A"], "split": "val"}',
            "'split' must be one of train, validation, test or absent, found the string \"val\"",
        ),
        ('{"image": "1.png", "texts": ["A"], "id": 7}', "'id' must be a string, found the number 7"),
        ('{"image": "\\u0000", "texts": ["A"]}', "'image' is no possible path: "),
    ],
)
def test_bad_lines_are_reported_by_number(jsonl_source, line, detail):
    source = jsonl_source([{"image": "1.png", "texts": ["A"]}, line])
    items, problems = read(source)
    assert len(items) == 1
    assert [(problem.kind, problem.path) for problem in problems.entries] == [
        ("bad_line", f"{source / 'items.jsonl'}:2")
    ]
    assert problems.entries[0].detail.startswith(detail)


def test_pictures_outside_the_source_are_refused(jsonl_source, picture, tmp_path):
    picture().save(tmp_path / "secret.png")
    paths = ["../secret.png", "a/../../secret.png", str(tmp_path / "secret.png"), "link.png", "linked/secret.png"]
    source = jsonl_source(
        [{"image": "inside.png", "texts": ["A"]}, *(json.dumps({"image": path, "texts": ["A"]}) for path in paths)]
    )
    (source / "link.png").symlink_to(tmp_path / "secret.png")
    (source / "linked").symlink_to(tmp_path)
    items, problems = read(source)
    assert [item.id for item in items] == ["inside.png"]
    assert [problem.kind for problem in problems.entries] == ["outside_source"] * 5
    details = [problem.detail for problem in problems.entries]
    assert details[0] == "'../secret.png' leaves the folder of the file; put the picture below it"
    assert details[2].endswith(
        "is an absolute path; write it from the folder of the file, so that the collection can be moved"
    )
    assert details[3].startswith("'link.png' is, or lies behind, a link that leaves the folder")
    assert details[4].startswith("'linked/secret.png' is, or lies behind, a link that leaves the folder")


def test_a_name_whose_accents_are_coded_otherwise_is_told(jsonl_source, picture):
    named = json.dumps({"image": "caf\u00e9.png", "texts": ["A"]})
    source = jsonl_source([{"image": "inside.png", "texts": ["A"]}, named])
    picture().save(source / "cafe\u0301.png")
    _, problems = read(source)
    assert problems.entries[0].detail.endswith(
        "there is one whose name has its accents otherwise (Unicode NFD): rename it"
    )


def test_one_picture_has_one_id_however_its_path_is_written(jsonl_source):
    source = jsonl_source([{"image": "a/1.png", "texts": ["A"]}])
    paths = ["./a/1.png", "a//1.png", "a/../a/1.png", "b/../a/./1.png"]
    with (source / "items.jsonl").open("a") as file:
        file.writelines(json.dumps({"image": path, "texts": ["A"]}) + "\n" for path in paths)
    items, problems = read(source)
    assert problems.entries == []
    assert [(item.id, item.image) for item in items] == [("a/1.png", source / "a/1.png")] * 5
    assert [item.line for item in items] == [f"{source}/items.jsonl:{number}" for number in range(1, 6)]


def test_missing_pictures_are_reported(jsonl_source):
    source = jsonl_source(['{"image": "none.png", "texts": ["A"]}', '{"image": "items.jsonl/x", "texts": ["A"]}'])
    items, problems = read(source)
    assert items == []
    assert [(problem.kind, problem.detail) for problem in problems.entries] == [
        ("missing_image", "there is no file 'none.png'"),
        ("missing_image", "there is no file 'items.jsonl/x'"),
    ]


def test_one_of_several_files_is_named(jsonl_source):
    source = jsonl_source([{"image": "1.png", "texts": ["A"]}])
    (source / "other.jsonl").write_text("")
    with pytest.raises(DataError, match=r"several .jsonl files \(items.jsonl, other.jsonl\): name the one to read"):
        read(source)
    assert [item.id for item in read(source / "items.jsonl")[0]] == ["1.png"]


def test_a_folder_without_a_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"holds no .jsonl file: expected one, found an empty folder\."):
        read(tmp_path)
