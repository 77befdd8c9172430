"""The command `dafsn-client`."""

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest

from dafsn_client import Client
from dafsn_client.command import options
from dafsn_client.command.asking import Answer
from dafsn_client.command.main import main
from dafsn_client.command.output import AnswerFile
from dafsn_client.command.questions import Question
from dafsn_client.command.rendering import json_line, text_lines
from dafsn_client.results import SearchResult


@pytest.fixture
def lines(ask):
    """Run a command that answers everything; return its JSON lines."""

    def run(command, *arguments):
        code, output, messages = ask(command, "--json", *arguments)
        assert (code, messages) == (0, "")
        return [json.loads(line) for line in output.splitlines()]

    return run


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a[b].png"
    path.write_bytes(b"12345")
    return str(path)


def written(path, *questions):
    path.write_text("".join(f"{q if isinstance(q, str) else json.dumps(q)}\n" for q in questions), encoding="utf-8")
    return path


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_texts_find_pictures(lines):
    first, second = lines("query", "a red star", "a ring")
    assert (first["text"], second["text"]) == ("a red star", "a ring")
    assert first["results"] == [
        {"id": "a.jpg", "score": 0.5, "caption": "a red star"},
        {"id": "b.jpg", "score": 0.25, "caption": "über"},
    ]


def test_a_picture_finds_texts_the_best_only(lines, picture):
    (answer,) = lines("query", "--image", picture, "-k", "1")
    assert answer["image"] == picture
    assert [result["id"] for result in answer["results"]] == ["a.jpg"]


def test_a_text_and_a_picture_are_compared_word_by_word(lines, picture):
    (answer,) = lines("query", "red star", "--image", picture)
    assert (answer["text"], answer["image"]) == ("red star", picture)
    assert (answer["sentence"], answer["word"], answer["fused"]) == (0.25, 0.5, 0.75)
    assert answer["words"][0] == {"word": "red", "start": 0, "end": 3, "relevance": 0.5, "x": 0.75, "y": 0.5}


def test_a_folder_is_each_of_its_pictures(lines, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("b.png", "a.JPG", "in/c.webp", "notes.txt"):
        (tmp_path / name).write_bytes(b"1")
    assert [os.path.basename(answer["image"]) for answer in lines("query", "--image", tmp_path)] == [
        "a.JPG",
        "b.png",
        "c.webp",
    ]
    assert len(lines("query", "x", "y", "--image", tmp_path)) == 6


def test_answers_for_people(ask, picture):
    code, output, _ = ask("query", "a red star")
    assert code == 0
    assert output.splitlines() == ["a red star", "   1   0.500  a.jpg  a red star", "   2   0.250  b.jpg  über"]
    _, output, _ = ask("query", "red star", "--image", picture)
    assert output.splitlines()[1:] == [
        "  sentence 0.250, word 0.500, fused 0.750",
        "  red    0.500  looked at (0.75, 0.50)",
        "  star  -0.250  looked at (0.25, 0.50)",
    ]


def test_a_long_caption_ends_in_an_ellipsis_for_people_and_is_whole_in_json():
    answer = Answer(Question("a dog"), [SearchResult("1", 0.5, "word " * 200)])
    _, line = text_lines(answer)
    assert line.endswith(" word…")
    assert len(line) < 250
    assert json.loads(json_line(answer))["results"][0]["caption"] == "word " * 200


def test_nothing_printed_commands_the_terminal(ask):
    _, output, _ = ask("query", "red\x1b[2J star\udcff", "wörter")
    assert "\x1b" not in output
    assert "wörter" in output


def test_questions_without_answer_are_told_and_the_others_answered(ask):
    code, output, messages = ask("query", "--json", "a", "", "b")
    answers = [json.loads(line) for line in output.splitlines()]
    assert code == 1
    assert [set(answer) for answer in answers] == [{"text", "results"}, {"text", "error"}, {"text", "results"}]
    assert answers[1]["error"].startswith("the text holds no word")
    assert messages == "1 of 3 questions have an error for an answer\n"


def test_json_lines_are_answered_in_order_whatever_they_ask(ask, tmp_path, picture):
    questions = written(
        tmp_path / "questions.jsonl",
        {"id": 1, "text": "red star"},
        {"id": [2], "image": "a[b].png"},
        {"text": "red star", "image": "a[b].png", "id": "three"},
        "",
        {"image": "missing.png"},
        "{not json",
        "7",
        {"id": 9, "text": 5},
        {"id": 10},
        {"text": "last"},
    )
    out = tmp_path / "answers.jsonl"
    code, output, messages = ask("query", "--input", questions, "--out", out)
    answers = read(out)
    assert (code, output) == (1, "")
    assert "9 answers in" in messages
    assert [answer.get("id") for answer in answers] == [1, [2], "three", None, None, None, 9, 10, None]
    assert ["error" in answer for answer in answers] == [False] * 3 + [True] * 5 + [False]
    assert "missing.png cannot be read: No such file" in answers[3]["error"]
    assert f"line 6 of {questions} is no JSON" in answers[4]["error"]
    assert "is no JSON object" in answers[5]["error"]
    assert "'text' is no string" in answers[6]["error"]
    assert "neither 'text' nor 'image'" in answers[7]["error"]


def test_standard_input(target):
    command = [sys.executable, "-m", "dafsn_client", "query", "--target", target, "--json", "--input", "-"]
    asked = "".join(json.dumps({"text": f"text {number}"}) + "\n" for number in range(150))
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == [f"text {n}" for n in range(150)]


def test_an_interrupted_file_is_gone_on_with(ask, tmp_path):
    questions = written(tmp_path / "questions.jsonl", *({"id": n, "text": f"text {n}"} for n in range(100)))
    out, part = tmp_path / "answers.jsonl", tmp_path / "answers.jsonl.part"
    assert ask("query", "--input", questions, "--out", out)[0] == 0
    whole = out.read_bytes()
    out.unlink()
    kept = whole.splitlines(keepends=True)[:70]
    part.write_bytes(b"".join([*kept, b'{"id": 70, "te']))
    of = tmp_path / "answers.jsonl.part.json"
    asked = {"command": "query", "model": "dafsn", "version": None, "label": None, "top": None}
    of.write_text(json.dumps(asked | {"max_image_side": None}))
    assert ask("query", "--input", questions, "--out", out)[2] == f"100 answers in {out}\n"
    assert out.read_bytes() == whole
    assert not part.exists()
    assert not of.exists()


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (["encode"], "command query, now encode"),
        (["query", "--top", "1"], "top None, now 1"),
        (["query", "--model", "b"], "model dafsn, now b"),
    ],
)
def test_another_command_does_not_go_on_with_a_file(ask, tmp_path, monkeypatch, other, told):
    out, part = tmp_path / "answers.jsonl", tmp_path / "answers.jsonl.part"
    with monkeypatch.context() as patch:
        patch.setattr(AnswerFile, "finish", lambda file: (_ for _ in ()).throw(KeyboardInterrupt))
        assert ask("query", "a", "--out", out)[0] == 130
    begun = part.read_bytes()
    code, _, messages = ask(*other, "a", "--out", out)
    assert code == 1
    assert f"holds answers of another command ({told})" in messages
    assert part.read_bytes() == begun
    assert ask("query", "a", "--out", out)[0] == 0


@pytest.mark.parametrize("line", [b'{"id": 1, "text": "b"}\n', b"garbage\n"])
def test_a_file_of_other_answers_is_left_alone(ask, tmp_path, monkeypatch, line):
    part = tmp_path / "answers.jsonl.part"
    with monkeypatch.context() as patch:
        patch.setattr(AnswerFile, "finish", lambda file: (_ for _ in ()).throw(KeyboardInterrupt))
        ask("query", "a", "--out", tmp_path / "answers.jsonl")
    part.write_bytes(line)
    code, _, messages = ask("query", "a", "--out", tmp_path / "answers.jsonl")
    assert code == 1
    assert "answers another question" in messages
    assert part.read_bytes() == line


def test_a_lost_server_leaves_what_it_answered(tmp_path, toy_versions, capsys):
    from dafsn_server.process import running

    out = tmp_path / "answers.jsonl"
    read_end, write_end = os.pipe()
    with running({"dafsn": toy_versions}) as target, os.fdopen(write_end, "w") as pipe:
        command = [sys.executable, "-m", "dafsn_client", "query", "--target", target, "--input", "-", "--timeout", "2"]
        # A background job inherits SIGINT ignored; a handler here is the default in what is started. (Nothing runs
        # between fork and exec: gRPC's threads of this process make that unsafe.)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = subprocess.Popen([*command, "--out", str(out)], stdin=read_end, stderr=subprocess.PIPE)
        finally:
            signal.signal(signal.SIGINT, before)
            os.close(read_end)
        with process:
            pipe.write("".join(f'{{"text": "text {n}"}}\n' for n in range(64)))
            pipe.flush()
            part = tmp_path / "answers.jsonl.part"
            while not (part.exists() and part.read_bytes().count(b"\n") == 64):
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            try:
                messages = process.communicate(timeout=60)[1].decode()
            finally:
                process.kill()
    assert process.returncode == 130
    assert f"64 answers in {part}; the same command goes on from there" in messages
    assert not out.exists()


def test_how_questions_travel(ask, monkeypatch):
    made, asked = {}, []

    class Recorded(Client):
        def __init__(self, *arguments, **options):
            made.update(options)
            super().__init__(*arguments, **options)

        def search(self, texts):
            asked.append(len(texts))
            return super().search(texts)

    monkeypatch.setattr(options, "Client", Recorded)
    code, *_ = ask("query", "--max-rows", "3", "--concurrency", "2", "--retries", "0", *range(14))
    assert (code, asked) == (0, [6, 6, 2])
    assert {name: made[name] for name in ("max_rows", "concurrency", "retries")} == {
        "max_rows": 3,
        "concurrency": 2,
        "retries": 0,
    }


def test_features(lines, ask, picture):
    (text,) = lines("encode", "abc")
    assert text == {"text": "abc", "features": [6.0] * 4}
    (image,) = lines("encode", "--image", picture)
    assert image["features"] == [5.0] * 4
    code, output, _ = ask("encode", "--json", "abc", "--image", picture)
    assert code == 1
    assert "ask for each by itself" in json.loads(output)["error"]
    assert ask("encode", "abc")[1].splitlines()[1].startswith("  4 numbers: 6.0000")


def test_status_metadata_and_wait(ask, lines):
    assert ask("status")[1] == "version 2  AVAILABLE\n"
    assert lines("status") == [{"version": 2, "state": "AVAILABLE", "error": ""}]
    assert lines("wait", "--seconds", "5") == [{"version": 2, "state": "AVAILABLE", "error": ""}]
    described = ask("metadata")[1]
    assert "dense\n  <- x: float32(n, 2)\n  -> half: float16(n, 2)\n" in described
    assert {"dense", "similarity"} <= {signature["name"] for signature in lines("metadata")}


def test_the_status_of_several_addresses(ask, capsys, target):
    addresses = ["--target", "127.0.0.1:1", "--timeout", "20"]
    code, output, messages = ask("status", *addresses)
    first, second, third, fourth = output.splitlines()
    assert (code, messages) == (1, "")
    assert (first, second) == (target, "  version 2  AVAILABLE")
    assert (third, fourth.startswith("  error: GetModelStatus at 127.0.0.1:1: ")) == ("127.0.0.1:1", True)
    there, lost = map(json.loads, ask("status", "--json", *addresses)[1].splitlines())
    assert there == {"address": target, "version": 2, "state": "AVAILABLE", "error": ""}
    assert (lost["address"], set(lost)) == ("127.0.0.1:1", {"address", "error"})
    code, output, _ = ask("status", "--target", target.replace("127.0.0.1", "localhost"))
    assert (code, output.count("AVAILABLE")) == (0, 2)


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])
    assert capsys.readouterr().out == f"dafsn-client {version('dafsn-client')}\n"


def test_help_names_every_command(capsys):
    for arguments in ([], ["--help"]):
        with pytest.raises(SystemExit, match=r"^0$"):
            main(arguments)
        assert "\n  encode " in capsys.readouterr().out


def test_a_reader_that_leaves_ends_the_command(target):
    command = f"{sys.executable} -m dafsn_client query --target {target} $(seq 2000) | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1\n", "")
