import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dafsn_tf.config import load_config
from dafsn_tf.data.prepare import prepare
from dafsn_tf.data.records import open_split
from dafsn_tf.evaluation.embedding import Embedder
from dafsn_tf.evaluation.evaluate import all_pairs_scores
from dafsn_tf.evaluation.fusion import Fusion
from dafsn_tf.export import build_index, export_run
from dafsn_tf.retrieval import Encoder
from dafsn_tf.runs import load_run
from dafsn_tf.training import train

TINY = ["image.image_size=32", "model.dim=16", "text.embedding_dim=8", "training.batch_size=8", "training.epochs=1"]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    from dafsn_tf.data.sources import shapes

    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes.read, "__defaults__", (0, {"train": 24, "validation": 8, "test": 9}))
        prepare("shapes", None, folder / "data")
    train(load_config("shapes", TINY), folder / "data", folder / "run", write=lambda line: None)
    return folder / "data", load_run(folder / "run")


@pytest.fixture(scope="module")
def base(shapes, tmp_path_factory):
    data, run = shapes
    base = tmp_path_factory.mktemp("models") / "tiny"
    (base / "00004").mkdir(parents=True)
    assert export_run(run, base, data=data, top_k=3) == base / "5"
    return base


def ask(folder, signature, **inputs):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder)).signature_def[signature]
        feeds = {loaded.inputs[name].name: np.array(values, object) for name, values in inputs.items()}
        return session.run({name: info.name for name, info in loaded.outputs.items()}, feeds)


def test_a_version_appears_whole_under_the_next_number(base):
    assert sorted(path.name for path in base.iterdir()) == ["00004", "5"]
    assert (base / "5" / "variables" / "variables.index").is_file()


def test_bad_rows_get_a_status_and_zeros_and_neighbours_are_answered(base, shapes):
    data, _ = shapes
    picture = open_split(data, "test").read_images([0])[0]
    answer = ask(base / "5", "encode_image", images=[picture, b"", b"II*\0 a TIFF file that is not", picture[:200]])
    assert answer["status"][0] == 0
    assert all(answer["status"][1:])
    assert not answer["image_features"][1:].any()
    assert np.linalg.norm(answer["image_features"][0]) == pytest.approx(1, abs=1e-5)
    text = ask(base / "5", "encode_text", texts=["a red star", "  ", "a \xfc".encode("latin-1")])
    assert text["status"].tolist() == [0, 1, 0]
    assert not text["sentence_features"][1].any()
    none = ask(base / "5", "encode_text", texts=[])
    assert none["sentence_features"].shape == (0, 16)


def test_served_similarity_is_the_evaluations(base, shapes):
    data, run = shapes
    records = open_split(data, "test")
    embedder = Embedder(run.model, run.text_preprocessor)
    embeddings = embedder.embed_split(records, None, 1)
    scores = all_pairs_scores(embedder, embeddings)
    scores["fused"] = Fusion.from_dict(run.fusion).apply(scores["sentence"], scores["word"])
    texts = [captions[0].encode() for captions in records.texts]
    answer = ask(base / "5", "similarity", texts=texts, images=records.read_images(range(len(records))))
    for name, values in scores.items():
        np.testing.assert_allclose(answer[name], np.diagonal(values), atol=1e-4)
    words = answer["word_mask"].sum(axis=1)
    for row, text in enumerate(texts):
        np.testing.assert_allclose(answer["attention"][row, : words[row]].sum(axis=-1), 1, atol=1e-5)
        start, end = answer["word_offsets"][row, 0]
        assert text[start:end] == text.split()[0]


def test_search_ranks_as_the_fused_score_does(base, shapes):
    data, run = shapes
    records = open_split(data, "test")
    embedder = Embedder(run.model, run.text_preprocessor)
    embeddings = embedder.embed_split(records)
    scores = all_pairs_scores(embedder, embeddings)
    fused = Fusion.from_dict(run.fusion).apply(scores["sentence"], scores["word"])
    texts = [text for captions in records.texts for text in captions]
    found = ask(base / "5", "search", texts=[texts[7].encode()])
    best = np.argsort(-fused[7])[:3]
    assert [name.decode() for name in found["ids"][0]] == [records.ids[index] for index in best]
    np.testing.assert_allclose(found["scores"][0], fused[7][best], atol=5e-3)  # regions are kept in float16
    described = ask(base / "5", "search_by_image", images=records.read_images([2]))
    best = np.argsort(-fused[:, 2])[:3]
    assert [caption.decode() for caption in described["captions"][0]] == [texts[index] for index in best]


def test_an_index_answers_in_python(shapes):
    data, run = shapes
    index = build_index(run, Encoder(run.model, run.text_preprocessor, Fusion.from_dict(run.fusion)), data, top_k=20)
    found = index.search(tf.constant(["a red star", "a circle"]))
    assert found["ids"].shape == (2, 9)  # no more than there are
    assert (np.diff(found["scores"].numpy()) <= 0).all()
    buffer = io.BytesIO()
    Image.new("RGB", (50, 40), "red").save(buffer, "JPEG")
    assert index.search_by_image(tf.constant([buffer.getvalue()]))["captions"].shape == (1, 20)


def test_what_cannot_be_verified_is_not_published(shapes, tmp_path, monkeypatch):
    from dafsn_tf.errors import ExportError

    monkeypatch.setattr("dafsn_tf.export._compare", lambda *values: (_ for _ in ()).throw(ExportError("differs")))
    with pytest.raises(ExportError):
        export_run(shapes[1], tmp_path / "models")
    assert not list((tmp_path / "models").iterdir())
