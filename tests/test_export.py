import contextlib
import io
import os
import shutil
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dafsn_tf.config import load_config
from dafsn_tf.data.items import SPLITS
from dafsn_tf.data.records import open_split
from dafsn_tf.errors import ExportError
from dafsn_tf.evaluation.embedding import Embedder, Embeddings, join_splits
from dafsn_tf.evaluation.evaluate import all_pairs_scores, evaluate_run, fused_scores
from dafsn_tf.evaluation.fusion import Fusion
from dafsn_tf.evaluation.protocols import Collection
from dafsn_tf.export import ExportOptions, build_index, export_run
from dafsn_tf.export.model_card import model_card
from dafsn_tf.export.ops import ALLOWED, check_ops, graph_ops
from dafsn_tf.export.publishing import next_version
from dafsn_tf.export.verification import verify
from dafsn_tf.export.warmup import BATCH_SIZES, FILE
from dafsn_tf.files import write_json
from dafsn_tf.models import DAFSN
from dafsn_tf.retrieval import Encoder
from dafsn_tf.retrieval.encoder import TEXTS
from dafsn_tf.runs import load_run

OPTIONS = ExportOptions(top_k=3, license="CC0-1.0", split="test")


@pytest.fixture(scope="module")
def base(tiny_run, tmp_path_factory):
    data, run = tiny_run
    base = tmp_path_factory.mktemp("models") / "tiny"
    (base / "00004").mkdir(parents=True)
    assert export_run(run, base, data=data, options=OPTIONS) == base / "5"
    return base


@contextlib.contextmanager
def opened(folder):
    """Yield a function that asks a signature of a version, in a session as the server opens it."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signatures = tf.compat.v1.saved_model.load(session, ["serve"], str(folder)).signature_def

        def ask(name, **inputs):
            signature = signatures[name]
            feeds = {signature.inputs[key].name: np.array(values, object) for key, values in inputs.items()}
            return session.run({key: info.name for key, info in signature.outputs.items()}, feeds)

        yield ask


def ask(folder, name, **inputs):
    with opened(folder) as asking:
        return asking(name, **inputs)


def encoder(run):
    return Encoder(run.model, run.text_preprocessor, Fusion.from_dict(run.fusion))


def published(base):
    return sorted(path.name for path in base.iterdir() if path.name != ".last-version")


def test_a_version_appears_whole_under_the_next_number(base):
    assert published(base) == ["00004", "5"]
    assert (base / "5" / "variables" / "variables.index").is_file()


def publish(base):
    with next_version(base) as (number, aside):
        aside.mkdir()
        (aside / "saved_model.pb").write_text(str(number))
    return number


def test_a_number_is_not_given_twice(tmp_path):
    assert [publish(tmp_path), publish(tmp_path)] == [1, 2]
    shutil.rmtree(tmp_path / "2")
    assert publish(tmp_path) == 3
    (tmp_path / "7").mkdir()
    assert publish(tmp_path) == 8
    assert published(tmp_path) == ["1", "3", "7", "8"]


def test_a_version_that_fails_gives_its_number_back(tmp_path):
    def fail():
        with next_version(tmp_path) as (_, aside):
            aside.mkdir()
            raise ExportError("differs")

    (tmp_path / ".tmp-1" / "left by an export that was killed").mkdir(parents=True)
    with pytest.raises(ExportError, match="differs"):
        fail()
    assert published(tmp_path) == []
    assert publish(tmp_path) == 1


def test_two_exports_at_once_are_two_versions(tmp_path):
    def export():
        with next_version(tmp_path) as (number, aside):
            aside.mkdir()
            for part in range(5):  # a second export that did not wait would remove what is written, or write there too
                (aside / str(part)).write_text(str(number))
                time.sleep(0.02)

    threads = [threading.Thread(target=export) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert published(tmp_path) == ["1", "2", "3"]
    for number in ("1", "2", "3"):
        assert [(tmp_path / number / str(part)).read_text() for part in range(5)] == [number] * 5


def test_a_folder_without_locks_is_refused(tmp_path, monkeypatch):
    def flock(file, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(ExportError, match=r"cannot be locked against a second export \(Operation not supported\)"):
        publish(tmp_path)


def test_the_name_of_a_version_is_on_the_disk_when_it_is_published(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: order.append(os.fstat(descriptor).st_ino))
    monkeypatch.setattr(os, "rename", lambda old, new, rename=os.rename: (order.append("rename"), rename(old, new)))
    publish(tmp_path)
    renamed = order.index("rename")
    assert {(tmp_path / "1").stat().st_ino, (tmp_path / "1" / "saved_model.pb").stat().st_ino} <= set(order[:renamed])
    assert order[renamed + 1 :] == [tmp_path.stat().st_ino]


def test_bad_rows_get_a_status_and_zeros_and_neighbours_are_answered(base, tiny_run):
    data, _ = tiny_run
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


def test_served_similarity_is_the_evaluations(base, tiny_run):
    data, run = tiny_run
    records = open_split(data, "test")
    embedder = Embedder(run.model, run.text_preprocessor)
    embeddings = embedder.embed_split(records, None, 1)
    scores = all_pairs_scores(embedder, embeddings)
    scores["fused"] = fused_scores(embedder, embeddings, scores, Fusion.from_dict(run.fusion))
    texts = [captions[0].encode() for captions in records.texts]
    answer = ask(base / "5", "similarity", texts=texts, images=records.read_images(range(len(records))))
    for name, values in scores.items():
        np.testing.assert_allclose(answer[name], np.diagonal(values), atol=1e-4)
    words = answer["word_mask"].sum(axis=1)
    for row, text in enumerate(texts):
        np.testing.assert_allclose(answer["attention"][row, : words[row]].sum(axis=-1), 1, atol=1e-5)
        start, end = answer["word_offsets"][row, 0]
        assert text[start:end] == text.split()[0]


@pytest.mark.parametrize("sharpness", [1.0, 2.0])
def test_the_graph_fuses_label_scores_as_evaluation_does(tiny_run, sharpness):
    data, run = tiny_run
    records, embedder = open_split(data, "test"), Embedder(run.model, run.text_preprocessor)
    embeddings = embedder.embed_split(records, None, 1)
    fusion = replace(Fusion.from_dict(run.fusion), label_weight=0.5, label_sharpness=sharpness, label_deviation=0.1)
    expected = fused_scores(embedder, embeddings, all_pairs_scores(embedder, embeddings), fusion)
    images = records.read_images(range(len(records)))
    graph = Encoder(run.model, run.text_preprocessor, fusion)
    answer = graph.similarity(tf.constant([captions[0] for captions in records.texts]), tf.constant(images))
    np.testing.assert_allclose(answer["fused"], np.diagonal(expected), atol=1e-4)
    flat = replace(fusion, label_sharpness=3 - sharpness)
    assert np.abs(fused_scores(embedder, embeddings, all_pairs_scores(embedder, embeddings), flat) - expected).max() > 0


def test_search_ranks_as_the_fused_score_does(base, tiny_run):
    data, run = tiny_run
    records = open_split(data, "test")
    embedder = Embedder(run.model, run.text_preprocessor)
    embeddings = embedder.embed_split(records)
    scores = all_pairs_scores(embedder, embeddings)
    fused = fused_scores(embedder, embeddings, scores, Fusion.from_dict(run.fusion))
    texts = [text for captions in records.texts for text in captions]
    found = ask(base / "5", "search", texts=[texts[7].encode()])
    best = np.argsort(-fused[7])[:3]
    assert [name.decode() for name in found["ids"][0]] == [records.ids[index] for index in best]
    np.testing.assert_allclose(found["scores"][0], fused[7][best], atol=5e-3)  # regions are kept in float16
    described = ask(base / "5", "search_by_image", images=records.read_images([2]))
    best = np.argsort(-fused[:, 2])[:3]
    assert [caption.decode() for caption in described["captions"][0]] == [texts[index] for index in best]


def test_words_that_do_not_know_their_text_are_kept_as_ids(tiny_run, tmp_path):
    data, run = tiny_run
    config = replace(run.config, text=replace(run.config.text, word_features="embedding"))
    model = DAFSN(config, run.model.vocabulary_size, run.model.num_classes)
    model.build()
    model.assets = run.model.assets
    run = replace(run, model=model, config=config)
    version = export_run(run, tmp_path / "models", data=data, options=replace(OPTIONS, top_k=20))
    (picture,) = open_split(data, "test").read_images([2])
    with opened(version) as asking:
        described = asking("search_by_image", images=[picture])
        captions = described["captions"][0]
        alone = asking("similarity", texts=captions, images=[picture] * len(captions))
    assert len(set(captions)) > 5
    np.testing.assert_allclose(described["scores"][0], alone["fused"], atol=1e-5)
    index = build_index(run, encoder(run), data)
    texts = sum(len(captions) for split in SPLITS for captions in open_split(data, split).texts)
    per_text = {tuple(variable.shape) for variable in index.variables if variable.shape[:1] == (texts,)}
    assert per_text == {(texts, 16), (texts, index.word_ids.shape[1])}  # sentences and word ids
    assert index.word_ids.shape[1] < config.text.max_words


def test_an_index_holds_every_split_as_if_it_were_alone(tiny_run):
    data, run = tiny_run
    whole = build_index(run, encoder(run), data, top_k=50)
    found = whole.search(tf.constant(["a red star"]))
    found = {
        identity.decode(): score
        for identity, score in zip(found["ids"][0].numpy(), found["scores"][0].numpy(), strict=True)
    }
    ids = [identity for split in SPLITS for identity in open_split(data, split).ids]
    assert len(whole) == len(ids) == 24 + 8 + 9
    assert sorted(found) == sorted(ids)
    for split in SPLITS:
        alone = build_index(run, encoder(run), data, split, top_k=50)
        answer = alone.search(tf.constant(["a red star"]))
        for identity, score in zip(answer["ids"][0].numpy(), answer["scores"][0].numpy(), strict=True):
            assert found[identity.decode()] == pytest.approx(score, abs=1e-5)
    picture = open_split(data, "validation").read_images([3])
    described = whole.search_by_image(tf.constant(picture))
    texts = {text: identity for split in SPLITS for identity, text in captions(open_split(data, split))}
    for identity, caption in zip(described["ids"][0].numpy(), described["captions"][0].numpy(), strict=True):
        assert texts[caption.decode()] == identity.decode()


def captions(records):
    return [(identity, text) for identity, texts in zip(records.ids, records.texts, strict=True) for text in texts]


def test_splits_of_other_lengths_and_without_labels_are_joined():
    def part(texts, words, labels):
        collection = Collection(np.zeros(texts, int), labels)
        shape = (texts, words)
        return Embeddings(
            sentences=np.ones((texts, 2)),
            words=np.ones((*shape, 2)),
            word_mask=np.ones(shape, bool),
            word_offsets=np.ones((*shape, 2), int),
            images=np.ones((1, 2)),
            regions=np.ones((1, 3, 2)),
            collection=collection,
        )

    whole = join_splits([part(2, 3, None), part(1, 1, np.ones((1, 4), np.float32))])
    assert whole.word_mask.tolist() == [[True] * 3, [True] * 3, [True, False, False]]
    assert whole.words.shape == whole.word_offsets.shape == (3, 3, 2)
    assert not whole.words[2, 1:].any()
    assert whole.collection.text_image.tolist() == [0, 0, 1]
    assert whole.collection.labels.tolist() == [[0] * 4, [1] * 4]
    assert join_splits([part(2, 3, None), part(1, 1, None)]).collection.labels is None


@pytest.mark.parametrize("candidates", [1, 3, 9])
def test_the_nearest_by_sentences_are_ranked_again(tiny_run, candidates):
    data, run = tiny_run
    query = tf.constant(["a red star", "a circle"])
    whole = build_index(run, encoder(run), data, "test", top_k=9)
    names = whole.image_ids.numpy().tolist()
    near = whole.encoder.encode_text(query)["sentence_features"].numpy() @ whole.images.numpy().T
    found = {key: values.numpy() for key, values in whole.search(query).items()}
    few = build_index(run, encoder(run), data, "test", top_k=1, candidates=candidates)
    for row, (best,) in enumerate(few.search(query)["ids"].numpy()):
        nearest = {names[place] for place in np.argsort(-near[row])[:candidates]}
        assert best == next(identity for identity in found["ids"][row] if identity in nearest)


def test_an_index_answers_in_python(tiny_run):
    data, run = tiny_run
    index = build_index(run, encoder(run), data, "test", top_k=20)
    found = index.search(tf.constant(["a red star", "a circle"]))
    assert found["ids"].shape == (2, 9)  # no more than there are
    assert (np.diff(found["scores"].numpy()) <= 0).all()
    buffer = io.BytesIO()
    Image.new("RGB", (50, 40), "red").save(buffer, "JPEG")
    assert index.search_by_image(tf.constant([buffer.getvalue()]))["captions"].shape == (1, 20)


@pytest.mark.parametrize(("change", "refused"), [(0.0, False), (5e-6, False), (2e-5, True), (np.nan, True)])
def test_an_answer_may_differ_by_a_hundred_thousandth_however_large_it_is(change, refused, tmp_path):
    module = tf.Module()
    module.value = tf.Variable(8.0)
    module.ask = tf.function(lambda texts: {"values": tf.fill(tf.shape(texts), module.value)}, [TEXTS])
    tf.saved_model.save(module, str(tmp_path), {"encode_text": module.ask})
    module.value.assign_add(change)
    with pytest.raises(ExportError, match=r"encode_text\.values by") if refused else contextlib.nullcontext():
        verify(tmp_path, {"encode_text": (module.ask, [TEXTS])}, ["a", "b"])


def test_what_cannot_be_verified_is_not_published(tiny_run, tmp_path, monkeypatch):
    def differs(*arguments):
        raise ExportError("differs")

    monkeypatch.setattr("dafsn_tf.export.version.verify", differs)
    with pytest.raises(ExportError):
        export_run(tiny_run[1], tmp_path / "models")
    assert published(tmp_path / "models") == []


def test_an_op_that_stock_servers_may_lack_is_not_published(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("dafsn_tf.export.ops.ALLOWED", ALLOWED - {"DecodeJpeg", "Tanh"})
    with pytest.raises(ExportError, match="DecodeJpeg, Tanh"):
        export_run(tiny_run[1], tmp_path / "models")
    assert published(tmp_path / "models") == []


def test_a_graph_that_runs_python_is_refused(tmp_path):
    module = tf.Module()
    module.call = tf.function(lambda x: tf.py_function(lambda y: y, [x], tf.float32), [tf.TensorSpec([None])])
    tf.saved_model.save(module, str(tmp_path), module.call)
    with pytest.raises(ExportError, match="EagerPyFunc"):
        check_ops(tmp_path)


@pytest.mark.parametrize("region_layer", ["mixed7", "mixed10"])
def test_inception_v3s_ops_are_on_the_list(region_layer, tmp_path):
    from dafsn_tf.models import DAFSN

    config = load_config("default", [f"image.region_layer={region_layer}", "image.region_grid=3"])
    model = DAFSN(config, 50)
    model.build()
    module = tf.Module()
    module.variables_of_model = model.variables
    pixels = tf.TensorSpec([None, 299, 299, 3])
    module.call = tf.function(lambda images: model.encode_images(images), [pixels])
    tf.saved_model.save(module, str(tmp_path), {"call": module.call})
    check_ops(tmp_path)
    assert "Conv2D" in graph_ops(tmp_path)


def test_warmup_holds_every_signature_at_every_size(base):
    from tensorflow_serving.apis import prediction_log_pb2

    records = list(tf.data.TFRecordDataset(str(base / "5" / FILE)).as_numpy_iterator())
    asked = set()
    with opened(base / "5") as asking:
        for record in records:
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            assert request.model_spec.name == "tiny"
            inputs = {name: list(tensor.string_val) for name, tensor in request.inputs.items()}
            (size,) = {len(rows) for rows in inputs.values()}
            asked.add((request.model_spec.signature_name, size))
            assert not asking(request.model_spec.signature_name, **inputs)["status"].any()
    names = {"serving_default", "encode_text", "encode_image", "similarity", "search", "search_by_image"}
    assert asked == {(name, size) for name in names for size in BATCH_SIZES}


def test_the_card_tells_what_the_version_is(base, tiny_run):
    card = (base / "5" / "README.md").read_text()
    for expected in ("# tiny, version 5", "CC0-1.0", "`search_by_image`", "recall@10", "2.18 and later", "11: unknown"):
        assert expected in card
    assert "test split of data (9 pictures)" in card
    assert (
        f"{tiny_run[1].info['result']['validation']['protocols']['sentence']['fused']['text_to_image']['map@all']:.3f}"
        in card
    )


def test_the_card_has_the_figures_of_an_evaluation_beside_the_run(tiny_run, tmp_path):
    data, run = tiny_run
    shutil.copytree(run.path, tmp_path / "run")
    copy = load_run(tmp_path / "run")
    copy.info["derived_from"] = [
        {"dataset": "other", "collection": "1", "terms": ""},
        {"dataset": "another", "collection": "2", "terms": "for friends."},
    ]
    first_card = model_card(copy, "tiny", 1, {}, ExportOptions())
    assert "Test split:" not in first_card
    assert "began with heads trained on other, whose data's terms hold too.\n" in first_card
    assert "began with heads trained on another, whose data's terms hold too: for friends.\n" in first_card
    evaluation = evaluate_run(copy, data)
    write_json(copy.path / "evaluation.json", evaluation)
    card = model_card(copy, "tiny", 1, {}, ExportOptions())
    assert "Test split:" in card
    assert f"{evaluation['protocols']['sentence']['fused']['image_to_text']['map@all']:.3f}" in card
    assert "cut after 32 words, and 8,192 bytes" in card
    assert "taught by no loss" not in card
    silent = replace(copy.config.loss, word_weight=0.0, fused_weight=0.0)
    copy = replace(copy, config=replace(copy.config, loss=silent))
    assert "- Its words were taught by no loss" in model_card(copy, "tiny", 1, {}, ExportOptions())


@pytest.mark.parametrize(
    ("only", "signatures"), [("text", {"encode_text", "search"}), ("image", {"encode_image", "search_by_image"})]
)
def test_one_side_alone_holds_only_what_it_needs(only, signatures, base, tiny_run, tmp_path):
    data, run = tiny_run
    version = export_run(run, tmp_path / "side", data=data, options=ExportOptions(only=only))
    assert "every split of data (train 24, validation 8, test 9: 41 pictures)" in (version / "README.md").read_text()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        held = tf.compat.v1.saved_model.load(session, ["serve"], str(version)).signature_def
    assert {name for name in held if not name.startswith("__")} == {"serving_default", *signatures}
    assert set(held["serving_default"].inputs) == {"texts" if only == "text" else "images"}
    names = [name for name, _ in tf.train.list_variables(str(version / "variables" / "variables"))]
    whole = [name for name, _ in tf.train.list_variables(str(base / "5" / "variables" / "variables"))]
    assert len(names) < len(whole)


def test_half_precision_halves_the_weights_and_hardly_changes_answers(base, tiny_run, tmp_path):
    _, run = tiny_run
    version = export_run(run, tmp_path / "half", options=ExportOptions(float16=True))
    kinds = {
        reader.get_variable_to_dtype_map()[name]
        for reader in [tf.train.load_checkpoint(str(version / "variables" / "variables"))]
        for name, shape in reader.get_variable_to_shape_map().items()
        if len(shape) > 1
    }
    assert kinds == {tf.float16}
    whole = ask(base / "5", "encode_text", texts=["a red star"])["sentence_features"]
    half = ask(version, "encode_text", texts=["a red star"])["sentence_features"]
    assert 0 < np.abs(whole - half).max() < 5e-3


def test_the_pixel_limit_is_the_exports(tiny_run, tmp_path):
    version = export_run(tiny_run[1], tmp_path / "small", options=ExportOptions(only="image", max_pixels=100 * 100))
    assert "up to 10,000 pixels" in (version / "README.md").read_text()
    pictures = [tf.io.encode_png(np.zeros((side, 100, 3), np.uint8)).numpy() for side in (100, 101)]
    assert ask(version, "encode_image", images=pictures)["status"].tolist() == [0, 12]
    with pytest.raises(ExportError, match="max_pixels is 0"):
        ExportOptions(max_pixels=0)


def test_a_split_that_no_collection_has_is_told_before_the_export():
    with pytest.raises(ExportError, match=r"'tset'; name all, train, validation or test\."):
        ExportOptions(split="tset")
