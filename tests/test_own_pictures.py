import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dafsn_tf.cli.main import app
from dafsn_tf.config import Config
from dafsn_tf.data.pictures import normalize_picture
from dafsn_tf.data.sources.shapes import scene
from dafsn_tf.demo import MARK, _clear, mark
from dafsn_tf.errors import DataError
from dafsn_tf.own_pictures import PictureFolder
from dafsn_tf.retrieval.picture_cache import PictureCache
from dafsn_tf.runs import load_run

SCENES = [scene(20_000, "test", index) for index in range(20)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Scenes in two folders, a file that is no picture, and one that nobody looks for."""
    folder = tmp_path_factory.mktemp("own") / "pictures"
    for number, item in enumerate(SCENES):
        file = folder / ("deep/er" if number % 2 else "") / f"{number}.PNG"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(item.image)
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either")
    return folder


@pytest.fixture(scope="module")
def pictures(folder):
    return PictureFolder(load_run("shapes"), folder, write=lambda line: None)


def test_texts_find_the_pictures_they_describe(pictures):
    assert len(pictures.files) == len(SCENES)
    hits = pictures.search([item.texts[0] for item in SCENES])
    first = [int(row[0].path.stem) for row in hits]
    assert sum(found == number for number, found in enumerate(first)) > 0.6 * len(SCENES)
    assert all([hit.score for hit in row] == sorted((hit.score for hit in row), reverse=True) for row in hits)
    assert all(hit.path.is_file() for row in hits for hit in row)


def test_a_search_takes_a_list_of_texts_and_returns_as_many_as_it_is_asked_for(pictures, folder):
    with pytest.raises(TypeError, match=r"write \['a red circle'\]"):
        pictures.search("a red circle")
    assert pictures.search([]) == []
    assert [len(row) for row in pictures.search(["a circle", "a star"])] == [10, 10]
    few = PictureFolder(load_run("shapes"), str(folder), write=lambda line: None, top_k=3)
    assert few.search(["a circle"])[0] == pictures.search(["a circle"])[0][:3]
    with pytest.raises(ValueError, match="top_k is 0"):
        PictureFolder(load_run("shapes"), folder, top_k=0)


def test_what_cannot_be_read_is_passed_over_by_name(folder, caplog):
    alone = folder / "deep"
    (alone / "half.png").write_bytes(SCENES[0].image[:300])
    try:
        found = PictureFolder(load_run("shapes"), alone, write=lambda line: None)
    finally:
        (alone / "half.png").unlink()
    assert len(found.files) == len(SCENES) // 2
    assert "half.png is passed over" in caplog.text


def test_another_search_takes_what_the_first_looked_at(folder, pictures, tmp_path, monkeypatch):
    copies = tmp_path / "copies"
    shutil.copytree(folder, copies)
    model, kept, texts = load_run("shapes"), tmp_path / "kept", [item.texts[0] for item in SCENES]
    for name, pictures_at_once in (("_BLOCK", 8), ("_BATCH", 4)):
        monkeypatch.setattr(f"dafsn_tf.own_pictures.{name}", pictures_at_once)
    looked_at: list[bytes] = []
    limit = 18

    def reading(content):
        looked_at.append(content)
        if len(looked_at) == limit:
            raise KeyboardInterrupt
        return normalize_picture(content)

    def search():
        looked_at.clear()
        return PictureFolder(model, copies, write=lambda line: None, kept=kept).search(texts)

    monkeypatch.setattr("dafsn_tf.own_pictures.normalize_picture", reading)
    with pytest.raises(KeyboardInterrupt):
        search()
    first = search()  # two blocks of eight had been kept
    assert len(looked_at) == len(SCENES) + 1 - 16 + 1  # all files but those, and the broken one that is tried anew
    again = search()
    assert looked_at == [b"no picture"]
    assert again == first
    for ours, theirs in zip(again, pictures.search(texts), strict=True):
        assert ours[0].path.name == theirs[0].path.name
        assert ours[0].score == pytest.approx(theirs[0].score, abs=1e-3)

    (copies / "0.PNG").write_bytes(SCENES[1].image)  # changed since
    (copies / "2.PNG").unlink()
    block = next(kept.rglob("*.npz"))
    with np.load(block) as stored:
        lost = len(stored["keys"])
    block.write_bytes(b"cut off")
    names = {hit.path.name for row in search() for hit in row}
    assert lost <= len(looked_at) <= lost + 2  # it may have held a picture that has gone or changed
    assert SCENES[1].image in looked_at
    assert "2.PNG" not in names


def test_a_picture_and_a_link_to_it_are_both_kept(tmp_path):
    for name in ("one.png", "another.png"):
        (tmp_path / name).write_bytes(SCENES[len(name) % 2].image)
    (tmp_path / "link.png").symlink_to(tmp_path / "one.png")
    model = load_run("shapes")
    search = PictureFolder(model, tmp_path, write=lambda line: None, kept=tmp_path / "kept").search(["a circle"])
    files = [tmp_path / name for name in ("one.png", "another.png", "link.png")]
    (kept,) = (tmp_path / "kept").iterdir()
    cache = PictureCache(kept.parent, model.model, "")
    cache.folder = kept
    assert set(cache.find(files)) == set(files)
    assert len(search[0]) == 3


def test_what_cannot_be_kept_is_said_and_found_all_the_same(folder, tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    found = PictureFolder(load_run("shapes"), folder, write=lambda line: None, kept=tmp_path / "file")
    assert len(found.files) == len(SCENES)
    assert "is not kept" in caplog.text


def test_a_text_without_a_word_finds_nothing_and_its_neighbour_is_answered(pictures, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "attention-2.png").touch()  # of an earlier search for more
    hits = pictures.search(["...", SCENES[0].texts[0]])
    assert hits[0] == []
    assert len(hits[1]) == 10
    files = pictures.draw(["...", SCENES[0].texts[0]], hits, tmp_path / "out")
    assert [file.name for file in files] == ["found.png", "attention-1.png"]
    assert set((tmp_path / "out").iterdir()) == set(files)
    for file in files:
        with Image.open(file) as sheet:
            assert min(sheet.size) > 100


def test_pictures_in_formats_that_are_not_read_are_counted(folder, tmp_path):
    for name in ("a.HEIC", "b.heic", "c.tif"):
        (tmp_path / name).touch()
    run, lines = load_run("shapes"), []
    with pytest.raises(DataError, match=r"hold no file.*Pictures in formats.*\(2 \.heic, 1 \.tif\).*convert them"):
        PictureFolder(run, tmp_path)
    (tmp_path / "picture.png").write_bytes(SCENES[0].image)
    PictureFolder(run, tmp_path, write=lines.append)
    assert "(2 .heic, 1 .tif) are left out" in lines[0]


def test_words_that_the_model_does_not_know_are_told(pictures):
    known = SCENES[0].texts[0]
    assert pictures.unknown_words(known) == []
    assert pictures.unknown_words(f"Größter, {known} zzyzx!") == ["Größter", "zzyzx"]
    assert pictures.unknown_words("...") == []


def test_a_folder_without_pictures_is_refused(tmp_path):
    run = load_run("shapes")
    with pytest.raises(DataError, match=r"no folder .*absent"):
        PictureFolder(run, tmp_path / "absent")
    with pytest.raises(DataError, match="hold no file that ends in"):
        PictureFolder(run, tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="None of the 1 picture files"):
        PictureFolder(run, tmp_path)


def test_the_command_asks_and_answers(folder, tmp_path):
    arguments = ["demo", "--images", str(folder), "--model", "shapes", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments, input="a star\na zzyzx ring\n\n")
    assert result.exit_code == 0
    assert "does not know, which tell it nothing: zzyzx\n" in result.stderr
    assert result.stdout.startswith("a star\n")
    assert result.stdout.count(".PNG") == 10
    assert sorted(path.name for path in (Path(tmp_path) / "found").iterdir()) == ["1", "2"]


def test_what_it_leaves_is_no_obstacle_to_the_demo_and_a_users_folder_stays_one(tmp_path):
    mark(tmp_path / "new")
    (tmp_path / "new" / "found").mkdir()
    _clear(tmp_path / "new", Config())
    assert [path.name for path in (tmp_path / "new").iterdir()] == [MARK]
    users = tmp_path / "users"
    users.mkdir()
    (users / "letter.txt").touch()
    mark(users)
    with pytest.raises(DataError, match="holds something that is no demo"):
        _clear(users, Config())
