"""Tests of `fuse`: composed models check their modalities, equal plain Keras, train."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from harness import assert_close, assert_equal
from keras import layers

import mmlearn
from mmlearn.encoders import image, tabular, text
from mmlearn.fusion import ConcatFusion, WeightedFusion
from mmlearn.models import MultimodalModel, classification_head, fuse

BATCH, LENGTH, VOCAB = 8, 5, 12


def arrays(seed: int = 0, num: int = BATCH) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (num, 28, 28, 1)).astype("float32"),
        "text": rng.integers(0, VOCAB, (num, LENGTH)).astype("int32"),
    }


def made() -> MultimodalModel:
    keras.utils.set_random_seed(0)
    encoders = [
        image.cnn((28, 28, 1), filters=(4,)),
        text.bag(VOCAB, LENGTH, embed_dim=4),
    ]
    model = fuse(encoders, ConcatFusion(), head=3, name="both")
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


X, Y = arrays(), np.arange(BATCH) % 3


@pytest.fixture(scope="module")
def fresh() -> MultimodalModel:
    """Never called with good data before."""
    return made()


@pytest.fixture(scope="module")
def used() -> MultimodalModel:
    """Called with good data before: the backend has compiled its functions."""
    model = made()
    model.fit(X, Y, validation_data=(X, Y), verbose=0)
    model.predict(X, verbose=0)
    return model


@pytest.fixture(scope="module")
def loaded(used, tmp_path_factory) -> MultimodalModel:
    path = tmp_path_factory.mktemp("model") / "both.keras"
    used.save(path)
    return keras.saving.load_model(path)


USES = {
    "fit": lambda model, x: model.fit(x, Y, verbose=0),
    "evaluate": lambda model, x: model.evaluate(x, Y, verbose=0),
    "predict": lambda model, x: model.predict(x, verbose=0),
    "call": lambda model, x: model(x),
    "train_on_batch": lambda model, x: model.train_on_batch(x, Y),
    "validation": lambda model, x: model.fit(X, Y, validation_data=(x, Y), verbose=0),
}
MISFITS = {
    "missing": ({"image": X["image"]}, "modality 'text' is missing"),
    "extra": ({**X, "audio": X["text"]}, "modality 'audio' is unknown"),
    # Sorted before the others: bound by position, it would shift them all.
    "extra first": ({"a": X["image"], **X}, "modality 'a' is unknown"),
    "renamed": ({"image": X["image"], "words": X["text"]}, "'text' is missing"),
    "longer": ({**X, "text": np.ones((BATCH, 6), "int32")}, r"'text' has .* 6\)"),
    "rank": ({**X, "text": np.ones((BATCH, 5, 1), "int32")}, r"'text' .*5, 1\)"),
    "colour": ({**X, "image": np.ones((BATCH, 28, 28, 3))}, r"'image' has .*28, 3\)"),
    "swapped": ([X["text"], X["image"]], "modality 'image' has shape"),
    "too few": ([X["image"]], "got 1 arrays"),
}


@pytest.mark.parametrize("state", ["fresh", "used", "loaded"])
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("misfit", MISFITS)
def test_a_misfit_raises_one_error_that_names_it(state, use, misfit, request):
    inputs, message = MISFITS[misfit]
    with pytest.raises(ValueError, match=message) as caught:
        USES[use](request.getfixturevalue(state), inputs)
    # Keras wraps errors of `call` in further lines; ours is one of them.
    lines = [line for line in str(caught.value).splitlines() if "array" not in line]
    assert sum("modality" in line or "this model takes" in line for line in lines) <= 1
    if use in ("fit", "evaluate", "predict", "validation"):
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("use", ["fit", "validation", "train_on_batch"])
def test_a_misfit_is_noticed_before_any_training(use):
    model = made()
    before = model.get_weights()
    with pytest.raises(ValueError, match="'text' is missing"):
        USES[use](model, {"image": X["image"]})
    for one, other in zip(before, model.get_weights(), strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("state", ["used", "loaded"])
def test_arrays_are_bound_by_name(state, request):
    model = request.getfixturevalue(state)
    expected = model.predict(X, verbose=0)
    other_order = dict(reversed(X.items()))
    assert list(other_order) != list(X)
    for inputs in (other_order, list(X.values()), tuple(X.values())):
        assert_close(model.predict(inputs, verbose=0), expected, atol=1e-6)
    assert_close(model(other_order), expected, atol=1e-5)


def test_loading_keeps_the_class_and_the_outputs(used, loaded):
    assert isinstance(loaded, MultimodalModel)
    x = arrays(seed=1)
    assert_close(loaded.predict(x, verbose=0), used.predict(x, verbose=0), atol=1e-6)


def test_one_modality_needs_no_fusion():
    model = fuse([text.bag(VOCAB, LENGTH, embed_dim=4)], head=3)
    out = model.predict(X["text"], verbose=0)
    assert_close(model.predict({"text": X["text"]}, verbose=0), out)
    with pytest.raises(ValueError, match="'image' is unknown"):
        model.predict(X, verbose=0)


def test_it_equals_the_same_model_in_plain_keras():
    # Modalities in another order than the alphabet's, two encoders of one kind.
    def encoders():
        return [
            text.bag(VOCAB, LENGTH, embed_dim=4, name="title"),
            image.cnn((28, 28, 1), filters=(4,)),
            text.bag(VOCAB, LENGTH, embed_dim=4, name="body"),
        ]

    ours = fuse(encoders(), WeightedFusion(5), head=3)
    first, second, third = encoders()
    inputs = [
        keras.Input((LENGTH,), dtype="int32", name="title"),
        keras.Input((28, 28, 1), name="image"),
        keras.Input((LENGTH,), dtype="int32", name="body"),
    ]
    features = [first(inputs[0]), second(inputs[1]), third(inputs[2])]
    joint = WeightedFusion(5)(features)
    plain = keras.Model(inputs, layers.Dense(3, activation="softmax")(joint))
    plain.set_weights(ours.get_weights())
    x = {"body": arrays(1)["text"], **{"image": X["image"], "title": X["text"]}}
    assert_close(
        ours.predict(x, verbose=0),
        plain.predict([x["title"], x["image"], x["body"]], verbose=0),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda e: fuse(e), "2 encoders need a fusion"),
        (lambda e: fuse([]), "0 encoders need a fusion"),
        (lambda e: fuse([e[0], e[0]], ConcatFusion()), r"share a modality.*'image'"),
        (lambda e: fuse([fuse(e, ConcatFusion())], head=2), "has 2 inputs, expected 1"),
        (lambda e: fuse(e[:1], ConcatFusion()), "1 modality, expected 2"),
        (lambda e: fuse(e, ConcatFusion(), head=1), "num_classes is 1"),
    ],
)
def test_what_cannot_be_composed_is_refused(make, message):
    encoders = [
        image.cnn((28, 28, 1), filters=(4,)),
        text.bag(VOCAB, LENGTH, embed_dim=4),
    ]
    with pytest.raises(ValueError, match=message):
        make(encoders)


def test_a_head_ends_in_float32_probabilities():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        head = classification_head(3, hidden=4, dropout=0.5)
        out = head(np.ones((2, 5), "float32"))
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(out.dtype) == "float32"
    assert_close(keras.ops.sum(out, -1), 1, atol=1e-5)
    assert [type(layer).__name__ for layer in head.layers] == [
        "Dense",
        "Dropout",
        "Dense",
    ]
    assert len(classification_head(3).layers) == 1


def test_a_head_may_be_any_layer():
    model = fuse(
        [text.bag(VOCAB, LENGTH, embed_dim=4)], head=layers.Dense(1, name="price")
    )
    assert model.output_shape == (None, 1)


def test_it_learns_what_needs_both_modalities():
    # XOR: neither modality alone tells the class; the sign of their product does.
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(1)
    x = {name: rng.choice([-1, 1], (128, 1)).astype("float32") for name in "ab"}
    y = (x["a"] * x["b"] > 0).astype("int32").ravel()

    def encoder(name):
        inputs = keras.Input((1,), name=name)
        return keras.Model(inputs, layers.Dense(4, activation="relu")(inputs))

    head = classification_head(2, hidden=16)
    model = fuse([encoder("b"), encoder("a")], ConcatFusion(), head)
    model.compile(
        keras.optimizers.Adam(0.03),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    losses = model.fit(x, y, epochs=25, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < 0.2 < losses[0]
    assert model.evaluate(x, y, verbose=0)[1] == 1
    # Without one of them it can only guess.
    blind = model.evaluate({**x, "a": np.zeros((128, 1), "float32")}, y, verbose=0)[1]
    assert blind < 0.7


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="it alone traces")
def test_a_training_step_is_traced_once():
    traces = []

    class Counted(MultimodalModel):
        def train_step(self, data):
            traces.append(len(traces))
            return super().train_step(data)

    x = keras.Input((3,), name="first")
    model = Counted([x], layers.Dense(2, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy")
    inputs, labels = {"first": np.ones((20, 3), "float32")}, np.arange(20) % 2
    for _ in range(2):
        model.fit(inputs, labels, batch_size=10, epochs=2, verbose=0)
    assert len(traces) == 1


def test_what_is_frozen_before_the_first_fit_stays():
    model = made()
    model.get_layer("image_cnn").trainable = False
    kept = model.get_layer("image_cnn").get_weights()
    model.fit(X, Y, verbose=0)
    found = model.get_layer("image_cnn").get_weights()
    for one, other in zip(kept, found, strict=True):
        assert_equal(one, other)


def test_a_model_says_what_it_takes(used, loaded):
    for model in (used, loaded):
        assert model.modalities == ("image", "text")
        assert list(model.encoders) == ["image", "text"]
        assert [e.name for e in model.encoders.values()] == ["image_cnn", "text_bag"]
        assert all(e in model.layers for e in model.encoders.values())
    x = used.inputs_from(dict(reversed(X.items())))
    assert list(x) == ["image", "text"] and x["text"] is X["text"]
    blank = used.inputs_from(X, only=["image"])
    assert blank["image"] is X["image"] and not blank["text"].any()
    with pytest.raises(KeyError, match="'sound': choose from .*'image'"):
        used.inputs_from(X, only=["sound"])


@pytest.mark.parametrize("name", ["fit", "evaluate", "predict"])
def test_signatures_and_help_are_those_of_keras(name, fresh):
    expected = inspect.signature(getattr(keras.Model, name))
    assert inspect.signature(getattr(MultimodalModel, name)) == expected
    assert "x" in inspect.signature(getattr(fresh, name)).parameters
    assert getattr(fresh, name).__doc__ == getattr(keras.Model, name).__doc__


def test_misfits_are_noticed_however_they_are_passed(fresh):
    bad = {"image": X["image"]}
    uses = [
        lambda: fresh.fit(y=Y, x=bad, verbose=0),
        lambda: fresh.fit(X, Y, 8, 1, 0, None, 0.0, (bad, Y)),
        lambda: fresh.evaluate(y=Y, x=bad, verbose=0),
        lambda: fresh.predict(x=bad, verbose=0),
    ]
    before = fresh.get_weights()
    for use in uses:
        with pytest.raises(ValueError, match="^modality 'text' is missing"):
            use()
    for one, other in zip(before, fresh.get_weights(), strict=True):
        assert_equal(one, other)
    with pytest.raises(TypeError, match="epoch"):
        fresh.fit(X, Y, epoch=2)


def test_shapes_and_symbolic_calls_are_bound_by_name(fresh):
    shapes = {"text": (7, LENGTH), "image": (7, 28, 28, 1)}
    assert fresh.compute_output_shape(shapes) == (7, 3)
    in_order = [shapes["image"], shapes["text"]]
    assert fresh.compute_output_shape(in_order) == (7, 3)
    with pytest.raises(ValueError, match="'text' has shape"):
        fresh.compute_output_shape({**shapes, "text": (7, 4)})
    # As a part of another model; a fixed batch takes Keras the long way round.
    given = {
        "text": keras.Input(batch_shape=(BATCH, LENGTH), dtype="int32", name="text"),
        "image": keras.Input(batch_shape=(BATCH, 28, 28, 1), name="image"),
    }
    whole = keras.Model(given, fresh(given))
    assert whole.output_shape == (BATCH, 3)
    found = whole.predict(X, BATCH, verbose=0)
    assert_close(found, fresh.predict(X, verbose=0), atol=1e-6)


@pytest.mark.parametrize("make", ["cnn", "lenet", "resnet", "vit"])
@pytest.mark.parametrize(("scale", "told"), [(1 / 255, "0 to 1"), (257, "0 to 65535")])
def test_pixels_in_another_range_are_refused_by_name(make, scale, told):
    encoder = getattr(image, make)((28, 28, 1), name="scan")
    model = fuse([encoder], head=2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1))
    pixels[0, 0, 0], pixels[0, 0, 1] = 0, 255
    right = {"scan": pixels.astype("float32")}
    wrong = {"scan": (scale * pixels).astype("float32")}
    message = f"pixels of 'scan' are {told}, but its encoder was made for 0 to 255"
    for use in (model.predict, lambda x: model.fit(x, np.zeros(4, int), verbose=0)):
        with pytest.raises(ValueError, match=message):
            use(wrong)
    model.predict(right, verbose=0)
    model.predict({"scan": pixels.astype("uint8")}, verbose=0)
    model.predict({"scan": 0 * right["scan"]}, verbose=0)  # a missing picture


def test_an_encoder_of_one_s_own_that_wants_0_to_1_gets_it():
    x = keras.Input((8, 8, 3), name="image")
    y = keras.layers.Flatten()(keras.layers.Rescaling(2.0, offset=-1)(x))
    model = fuse([keras.Model(x, y)], head=2)
    model.predict({"image": np.full((2, 8, 8, 3), 0.5, "float32")}, verbose=0)


@pytest.mark.parametrize("make", ["bag", "recurrent", "transformer"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (-1, "ids of 'note' are -1 to 5, but its encoder has 12 of them, from 0"),
        (12, "ids of 'note' are 0 to 12, but"),
        (2**32 + 5, "ids of 'note' are 0 to 4294967301, but"),
        (3.7, "ids of 'note' are float64, expected whole numbers"),
    ],
)
def test_ids_without_a_vector_are_refused_by_name(make, wrong, message):
    encoder = getattr(text, make)(VOCAB, length=LENGTH, embed_dim=4, name="note")
    model = fuse([encoder], head=2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    ids = np.array([[1, 5, 0, 0, 0], [2, 3, 4, 0, 0]]) + 0 * wrong
    ids[0, 0] = wrong
    for use in (model.predict, lambda x: model.fit(x, np.zeros(2, int), verbose=0)):
        with pytest.raises(ValueError, match=message):
            use({"note": ids})
    model.predict({"note": np.array([[1, 11, 0, 0, 0]])}, verbose=0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_refused_by_name_unless_its_modality_is_absent(value):
    parts = [tabular.mlp(3, hidden=(), embed_dim=4, name=name) for name in "ab"]
    model = fuse(parts, ConcatFusion(), head=2, presence=True)
    model.compile("sgd", "sparse_categorical_crossentropy")
    table = np.ones((5, 3), "float32")
    spoilt = table.copy()
    spoilt[2, 1] = value
    here, gone = np.ones(5), np.array([1, 1, 0, 1, 1])
    x = {"a": table, "b": spoilt, "presence": {"a": here, "b": here}}
    before = model.get_weights()
    for use in (model.predict, lambda x: model.fit(x, np.zeros(5, int), verbose=0)):
        with pytest.raises(ValueError, match="'b' holds NaN .* 1 of 5 .* first is 2"):
            use(x)
        with pytest.raises(ValueError, match="'b' holds NaN"):
            use([table, spoilt, np.ones((5, 2), "float32")])
    for now, then in zip(model.get_weights(), before, strict=True):
        assert_equal(now, then)
    x["presence"]["b"] = gone
    model.fit(x, np.zeros(5, int), verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def as_generator(x, y):
    for place in (slice(0, 2), slice(2, None)):
        yield {name: array[place] for name, array in x.items()}, y[place]


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.whole = x, y

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.whole


def as_dataset(x, y):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("tf.data")
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, y)).batch(4)


def as_loader(x, y):
    if keras.backend.backend() != "torch":
        pytest.skip("a DataLoader")
    from torch.utils.data import DataLoader

    rows = [({n: a[i] for n, a in x.items()}, y[i]) for i in range(len(y))]
    return DataLoader(rows, batch_size=4)


@pytest.mark.parametrize("given", [as_generator, Batches, as_dataset, as_loader])
def test_every_door_is_watched(given):
    note = text.bag(VOCAB, LENGTH, embed_dim=4, name="note")
    picture = image.lenet((28, 28, 1), name="scan")
    model = fuse([note, picture, tabular.mlp(3, name="age")], ConcatFusion(), head=2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    right = {
        "note": np.ones((4, LENGTH), "int32"),
        "scan": np.full((4, 28, 28, 1), 200, "float32"),
        "age": np.ones((4, 3), "float32"),
    }
    y = np.array([0, 1, 0, 1])
    misfits = [
        ({**right, "note": right["note"] * VOCAB}, y, "ids of 'note' are 12 to 12"),
        ({**right, "scan": right["scan"] / 255}, y, "pixels of 'scan'"),
        ({**right, "age": right["age"] * np.nan}, y, "'age' holds NaN"),
        (right, y + 1, "labels are"),
    ]
    before = model.get_weights()
    for x, labels, message in misfits:
        with pytest.raises(ValueError, match=message):
            model.fit(given(x, labels), verbose=0)
        with pytest.raises(ValueError, match=message):
            model.evaluate(given(x, labels), verbose=0)
        if "labels" not in message:
            with pytest.raises(ValueError, match=message):
                model.predict(given(x, labels), verbose=0)
    for now, then in zip(model.get_weights(), before, strict=True):
        assert_equal(now, then)
    model.fit(given(right, y), validation_data=given(right, y), verbose=0)
    assert model.predict(given(right, y), verbose=0).shape == (4, 2)
    with pytest.raises(ValueError, match="'age' holds NaN"):
        model.fit(given(right, y), validation_data=given(*misfits[2][:2]), verbose=0)


@pytest.mark.parametrize(
    "loss", ["mse", keras.losses.Huber(), keras.losses.mean_squared_error]
)
def test_a_label_that_is_nan_is_refused_but_by_a_loss_of_one_s_own(loss):
    model = fuse([tabular.mlp(3, name="age")], head=keras.layers.Dense(1))
    x, y = {"age": np.ones((4, 3), "float32")}, np.array([1.0, np.nan, 2, 3])
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match="^y holds NaN or infinity in 1 of 4"):
        model.fit(x, y, verbose=0)

    def known_only(y, found):
        there = keras.ops.isfinite(y)
        return keras.ops.where(there, keras.ops.abs(y - found), 0.0)

    model.compile("sgd", known_only)
    model.fit(x, y, verbose=0)


def test_a_loss_that_diverges_names_the_epoch_and_the_features():
    parts = [
        tabular.mlp(2, hidden=(), embed_dim=3, dropout=0, name=name) for name in "ab"
    ]
    model = fuse(parts, ConcatFusion(), head=keras.layers.Dense(1))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    x = {"a": np.ones((8, 2), "float32"), "b": np.full((8, 2), 1e25, "float32")}
    y = np.ones(8)
    model.set_weights([np.abs(weight) for weight in model.get_weights()])
    before = model.get_weights()
    with pytest.raises(ValueError, match="in epoch 1; the largest features.* of 'b'"):
        model.fit(x, y, epochs=3, verbose=0)
    for now, then in zip(model.get_weights(), before, strict=True):
        assert_equal(now, then)
    with pytest.raises(ValueError, match="in epoch 1: lower the learning rate"):
        model.fit(Batches(x, y), epochs=3, verbose=0)
    # Who has said what to do then is not contradicted.
    model.fit(x, y, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN()])
    model.set_weights(before)
    calm = {"a": x["a"], "b": x["a"]}
    seen = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda n, logs: seen.append(n))
    model.fit(calm, y, epochs=2, verbose=0, callbacks=note)
    assert seen == [0, 1]


def test_what_is_no_array_is_left_to_keras(fresh):
    lists = {name: array.tolist() for name, array in X.items()}
    for x in (lists, list(lists.values())):
        with pytest.raises(ValueError, match="Unrecognized data type"):
            fresh.fit(x, Y, verbose=0)


def test_one_import_is_enough_to_load_a_model(used, tmp_path):
    used.save(tmp_path / "both.keras")
    code = "import keras, mmlearn; print(keras.saving.load_model('both.keras').name)"
    folder = str(Path(mmlearn.__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([folder, *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split()[-1] == "both"
