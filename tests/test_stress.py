"""Tests of corruptions, each by its properties; of robustness; of what is missing."""

import keras
import numpy as np
import pytest
from harness import assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from known_answers import assert_share, exact, linear

from mmlearn import evaluate
from mmlearn.datasets import Interactions, MultimodalDataset, Split, interactions
from mmlearn.evaluate.corruptions import CORRUPTIONS
from mmlearn.fusion import ConcatFusion
from mmlearn.models import MultimodalModel, fuse, inputs_from
from mmlearn.text import WordTokenizer

NUM = 9
RNG = np.random.default_rng(0)
TEXTS = ["a red car drives", "", "two  grey cats", " sleeping\tdog ", "boat"] * 2
ARRAYS = {
    "bytes": RNG.integers(0, 256, (NUM, 8, 6, 3)).astype("uint8"),
    "floats": RNG.normal(size=(NUM, 8, 6, 1)).astype("float32"),
    "doubles": RNG.normal(size=(NUM, 8, 6)),
    "signals": RNG.normal(size=(NUM, 10, 2)).astype("float32"),
    "rows": RNG.normal(size=(NUM, 5)).astype("float32"),
    "strings": np.array(TEXTS),
    "objects": np.array(TEXTS, dtype=object),
    "ids": np.array([[3, 4, 5, 6], [0, 0, 0, 0], [7, 8, 9, 0], [2, 0, 0, 0]], "int32"),
}
PICTURES, SIGNALS = ("bytes", "floats", "doubles"), ("signals",)
WORDS = ("strings", "objects", "ids")
SUITS = {
    "noise": (*PICTURES, "signals", "rows"),
    "blur": PICTURES,
    "occlusion": PICTURES,
    "word dropout": WORDS,
    "swap": WORDS,
    "typo": ("strings", "objects"),
    "drift": SIGNALS,
    "dropout": SIGNALS,
    "time shift": SIGNALS,
    "shuffled": tuple(ARRAYS),
    "missing": tuple(ARRAYS),
}
CASES = [(name, kind) for name, kinds in SUITS.items() for kind in kinds]

seeds = st.integers(0, 2**32 - 1)
severities = st.floats(0, 1)
words = st.lists(st.text("abcdé", min_size=1, max_size=6), max_size=6)
texts = st.lists(st.text("abc  \t", max_size=14), min_size=1, max_size=5)
quick = settings(deadline=None, max_examples=15)


def damaged(name: str, x: np.ndarray, severity: float, seed: int = 0) -> np.ndarray:
    return CORRUPTIONS[name](x, severity, np.random.default_rng(seed))


def test_every_corruption_is_tested():
    assert list(SUITS) == list(CORRUPTIONS)


@pytest.mark.parametrize(("name", "kind"), CASES)
@quick
@given(severities, seeds)
def test_a_corruption_keeps_the_form_and_its_argument(name, kind, severity, seed):
    x = ARRAYS[kind]
    before = x.copy()
    out = damaged(name, x, severity, seed)
    assert out.shape == x.shape and out.dtype == x.dtype
    assert np.array_equal(x, before) and not np.shares_memory(out, x)
    assert np.array_equal(out, damaged(name, x, severity, seed))
    assert np.array_equal(damaged(name, x, 0, seed), x)
    if x.dtype.kind == "f":
        assert np.isfinite(out).all()


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_worst_changes_something(name, kind):
    x = ARRAYS[kind]
    assert not np.array_equal(damaged(name, x, 1), x)


@quick
@given(texts, seeds, st.sampled_from(["word dropout", "swap", "typo"]))
def test_any_string_is_damaged_and_kept_at_0(strings, seed, name):
    for dtype in (str, object):
        x = np.array(strings, dtype=dtype)
        assert np.array_equal(damaged(name, x, 0, seed), x)
        found = damaged(name, x, 1, seed)
        # The same letters, or fewer where words go; never any other.
        for before, after in zip(strings, found, strict=True):
            if name == "word dropout":
                assert after == ""
            else:
                assert sorted("".join(after.split())) == sorted("".join(before.split()))


@quick
@given(words, severities, seeds)
def test_word_dropout_leaves_words_in_their_order(sentence, severity, seed):
    [out] = damaged("word dropout", np.array([" ".join(sentence)]), severity, seed)
    rest = iter(sentence)
    assert all(word in rest for word in str(out).split())


@quick
@given(words, severities, seeds)
def test_swap_exchanges_neighbours(sentence, severity, seed):
    x = np.array([" ".join(sentence), "one two three four"])
    out = damaged("swap", x, severity, seed)
    assert sorted(out[0].split()) == sorted(sentence)
    pairs = [sorted(out[1].split()[i : i + 2]) for i in (0, 2)]
    assert pairs == [["one", "two"], ["four", "three"]]
    worst = damaged("swap", x, 1, seed)
    assert worst[1] == "two one four three"
    # An odd last word has no neighbour.
    assert damaged("swap", np.array(["a b c"]), 1, seed)[0] == "b a c"


def test_swap_swaps_about_the_asked_share():
    x = np.tile(np.arange(1, 41), (200, 1))
    moved = damaged("swap", x, 0.3) != x
    assert_share(moved[:, ::2].mean(), 0.3, 200 * 20)


@quick
@given(words, severities, seeds)
def test_typo_keeps_the_letters_of_each_word(sentence, severity, seed):
    [out] = damaged("typo", np.array([" ".join(sentence)]), severity, seed)
    assert [sorted(w) for w in str(out).split()] == [sorted(w) for w in sentence]


def test_typos_grow_with_severity_up_to_every_pair():
    x = np.array(["abcdefg hij k"])
    assert damaged("typo", x, 1)[0] == "badcfeg ihj k"
    many = np.array(["abcdefgh"] * 400)
    wrong = [
        np.mean([a != b for text in damaged("typo", many, s) for a, b in zip(
            text, "abcdefgh", strict=True
        )])
        for s in (0.25, 0.5, 1)
    ]  # fmt: skip
    assert_share(wrong[0], 0.25, 1600)
    assert_share(wrong[1], 0.5, 1600)
    assert wrong[2] == 1


@pytest.mark.parametrize("name", ["word dropout", "swap"])
@quick
@given(st.lists(words, min_size=1, max_size=4), severities, seeds)
def test_strings_and_ids_agree(name, sentences, severity, seed):
    sentences.append(["b"] * 6)  # as long as the row of ids
    strings = np.array([" ".join(sentence) for sentence in sentences])
    vocabulary = {word: n + 1 for n, word in enumerate(sorted(set(sum(sentences, []))))}
    ids = np.array(
        [[vocabulary[w] for w in s] + [0] * (6 - len(s)) for s in sentences], "int64"
    )
    found = damaged(name, strings, severity, seed)
    for text, row in zip(found, damaged(name, ids, severity, seed), strict=True):
        expected = [vocabulary[word] for word in str(text).split()]
        assert row.tolist() == expected + [0] * (6 - len(expected))


def test_ids_have_no_letters_and_numbers_no_words():
    with pytest.raises(TypeError, match="ids have no letters"):
        damaged("typo", ARRAYS["ids"], 0.5)
    for name in ("swap", "word dropout"):
        with pytest.raises(TypeError, match="float32 of shape"):
            damaged(name, ARRAYS["rows"], 0.5)


@quick
@given(severities, seeds)
def test_a_time_shift_is_a_rotation(severity, seed):
    x = ARRAYS["signals"]
    furthest = round(severity * 10)
    for before, after in zip(x, damaged("time shift", x, severity, seed), strict=True):
        shifts = [s for s in range(10) if np.array_equal(np.roll(before, s, 0), after)]
        assert len(shifts) == 1
        assert min(shifts[0], 10 - shifts[0]) <= furthest


@quick
@given(severities, seeds)
def test_dropout_holds_one_stretch(severity, seed):
    x = ARRAYS["signals"]
    out = damaged("dropout", x, severity, seed)
    for before, after in zip(x, out, strict=True):
        held = np.flatnonzero((before != after).any(axis=1))
        if len(held):
            stretch = after[held[0] : held[-1] + 1]
            assert (stretch == stretch[0]).all()
            assert held[-1] - held[0] < round(severity * 10)


@quick
@given(severities, seeds)
def test_drift_is_a_ramp(severity, seed):
    x = ARRAYS["signals"].astype("float64")
    added = damaged("drift", x, severity, seed) - x
    np.testing.assert_allclose(added[:, 0], 0, atol=1e-12)
    np.testing.assert_allclose(np.diff(added, 2, axis=1), 0, atol=1e-6)
    ends = np.broadcast_to(2 * severity * x.std(axis=(0, 1)), added[:, -1].shape)
    np.testing.assert_allclose(np.abs(added[:, -1]), ends, atol=1e-6)


@quick
@given(severities, seeds)
def test_shuffled_samples_come_from_elsewhere(severity, seed):
    x = np.arange(40)
    out = damaged("shuffled", x, severity, seed)
    assert np.array_equal(np.sort(out), x)
    assert (damaged("shuffled", x, 1, seed) != x).all()


def test_about_the_asked_share_is_shuffled_or_missing():
    x = np.arange(1.0, 4001.0)
    for name in ("shuffled", "missing"):
        assert_share((damaged(name, x, 0.3) != x).mean(), 0.3, len(x))


@pytest.mark.parametrize("kind", ARRAYS)
def test_what_is_missing_is_empty_or_the_mean(kind):
    x = ARRAYS[kind]
    out = damaged("missing", x, 1)
    if kind in WORDS:
        assert not any(out.ravel())
        return
    mean = x.mean(axis=0, dtype="float64")
    off = 0.5 if x.dtype.kind == "u" else 1e-6
    np.testing.assert_allclose(out, np.tile(mean, (NUM, *[1] * mean.ndim)), atol=off)


@quick
@given(severities, seeds)
def test_occlusion_hides_its_share_with_one_grey(severity, seed):
    x = np.random.default_rng(1).normal(size=(3, 32, 32, 2))
    out = damaged("occlusion", x, severity, seed)
    hidden = (out != x).all(axis=-1)
    assert (abs(hidden.mean(axis=(1, 2)) - severity) < 2 / 32).all()
    np.testing.assert_allclose(out[hidden], x.mean(), rtol=1e-5)
    assert np.array_equal(out[~hidden], x[~hidden])


def test_noise_and_blur_are_of_their_strength():
    x = np.random.default_rng(2).normal(3, 2, size=(50, 40, 40)).astype("float32")
    added = damaged("noise", x, 0.5) - x
    assert abs(added.mean()) < 0.02 and added.std() == pytest.approx(1, rel=0.02)
    blurred = damaged("blur", x, 0.25)
    # White noise after a Gaussian of σ = 2 pixels: variance / (4 π σ²); not at borders.
    assert blurred[:, 8:-8, 8:-8].var() == pytest.approx(4 / (16 * np.pi), rel=0.1)
    # Samples do not mix.
    assert_close(damaged("blur", x[:1], 0.25), blurred[:1], atol=1e-5)
    dark = np.zeros((4, 8, 8), "uint8")
    dark[:2] = 255
    assert set(np.unique(damaged("shuffled", dark, 1))) == {0, 255}
    assert damaged("noise", dark, 1).dtype == "uint8"


# Robustness.


@pytest.fixture(scope="module")
def known():
    """A redundant task: its data, and models of known use of the modalities."""
    data, task = interactions(
        "redundant", dim=4, noise=0.5, num_train=9, num_val=9, num_test=2_000
    )
    both = exact(task, presence=False)
    kernels = [
        layer.get_weights()[0] for layer in both.layers if "linear" in layer.name
    ]
    one = fuse([linear("second", kernels[1])], head=keras.layers.Softmax())
    blind = fuse(
        [linear("first", 0 * kernels[0]), linear("second", kernels[1])],
        ConcatFusion(),
        keras.layers.Dense(2, use_bias=False),
    )
    blind.set_weights([0 * kernels[0], kernels[1], np.vstack([np.eye(2), np.eye(2)])])
    return data, task, {"both": both, "second": one, "blind": blind}


def test_what_a_model_ignores_does_not_hurt_it(known):
    data, task, models = known
    before = data.test["first"].copy()
    found = evaluate.robustness(models, data, "first", "shuffled")
    assert np.array_equal(data.test["first"], before)
    for name in ("second", "blind"):
        assert found.relative(name).mean == 1
        assert np.ptp(found.curves[name]) == 0
        assert_share(found.curves[name][0, 0], task.limit("second"), 2_000)
    assert found.relative("both").mean < 0.95
    assert (np.diff(found.curves["both"]) < 0.01).all()
    assert_share(found.curves["both"][0, 0], task.limit(), 2_000)


def test_effective_robustness_is_0_against_oneself(known):
    data, _, models = known
    found = evaluate.robustness(models, data, "first", "noise", (0, 0.5, 1))
    assert found.effective("both", "both").mean == pytest.approx(0, abs=1e-9)
    assert found.effective("blind", "both").mean > 0
    assert found.effective("both", "blind").mean < 0


def test_robustness_follows_its_equations():
    curves = {
        "a": np.array([[0.8, 0.6, 0.4], [0.9, 0.9, 0.9]]),
        "b": np.array([[0.6, 0.5, 0.5]]),
    }
    found = evaluate.Robustness("x", "noise", np.array([0, 0.5, 1.0]), curves)
    assert found.relative("a").mean == pytest.approx((0.75 + 1) / 2)
    assert found.relative("b").mean == pytest.approx((1 + 4 * 5 / 6 - 5 / 6) / 4)

    def logit(p):
        return np.log(p / (1 - p))

    moved = logit(curves["b"]) - logit(0.6) + logit(curves["a"][:, :1])
    gap = curves["a"] - 1 / (1 + np.exp(-moved))
    areas = (gap[:, 0] / 2 + gap[:, 1] + gap[:, 2] / 2) / 2
    assert found.effective("a", "b").mean == pytest.approx(areas.mean())
    table = found.table()
    assert table.header == ("model", "at 0", "at 0.5", "at 1", "relative")
    assert table.rows[1] == ("b", "60.0", "50.0", "50.0", f"{1.75 / 2:.2f}")
    assert "noise of x" in table.note


def test_all_models_and_runs_see_the_same_damage(known):
    data, _, models = known
    seen = []

    def spied(x, severity, rng):
        seen.append(damaged("noise", x, severity, rng.integers(100)))
        return seen[-1]

    both = models["both"]
    runs = {"one": both, "three": [both, both, both]}
    found = evaluate.robustness(runs, data, "first", spied, (0, 0.4, 0.8), seed=3)
    assert found.corruption == "spied" and len(seen) == 2
    assert found.curves["three"].shape == (3, 3)
    assert (found.curves["three"] == found.curves["one"]).all()
    # The grain is the same, only stronger.
    first, second = (x - data.test["first"] for x in seen)
    assert_close(2 * first, second, atol=1e-5)
    again = evaluate.robustness(both, data, "first", spied, (0, 0.4, 0.8), seed=3)
    assert np.array_equal(again.curves["exact"], found.curves["one"])


def wordy() -> tuple[MultimodalDataset, WordTokenizer]:
    """Texts of three words; the class is whether "yes" is among them."""
    rng = np.random.default_rng(0)

    def split(num):
        labels = rng.integers(0, 2, num)
        texts = [f"it {'yes' if label else 'no'} was" for label in labels]
        return Split({"text": np.array(texts)}, labels, np.arange(num))

    data = MultimodalDataset(
        "w", "synthetic", ("a", "b"), split(4), split(4), split(60)
    )
    return data, WordTokenizer(["[PAD]", "[UNK]", "it", "was", "yes", "no"], 4)


def counts_yes() -> MultimodalModel:
    ids = keras.Input((4,), dtype="int32", name="text")
    table = np.array([[0, 0]] * 4 + [[-9, 9], [9, -9]], float)
    embedding = keras.layers.Embedding(6, 2)
    y = keras.layers.Softmax()(keras.ops.sum(embedding(ids), axis=1))
    model = MultimodalModel([ids], y)
    embedding.set_weights([table])
    return model


def test_words_are_damaged_before_they_are_prepared():
    data, tokenizer = wordy()
    model = counts_yes()
    found = evaluate.robustness(
        model, data, "text", "word dropout", (0, 1), {"text": tokenizer}
    )
    blank = np.mean(data.test.labels == 0)
    np.testing.assert_allclose(found.curves[model.name], [[1, blank]])
    swapped = evaluate.robustness(
        model, data, "text", "swap", (0, 1), {"text": tokenizer}
    )
    assert (swapped.curves[model.name] == 1).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"severities": (0.5, 1)}, ValueError, "expected 0, then rising"),
        ({"severities": (0, 1, 0.5)}, ValueError, "expected 0, then rising"),
        ({"severities": (0,)}, ValueError, "expected 0, then rising"),
        ({"severities": (0, 2)}, ValueError, "2.0, expected at most 1"),
        ({"corruption": "fog"}, KeyError, "'fog': choose one of .*'noise'"),
        ({"modality": "third"}, KeyError, "'third': choose one of"),
    ],
)
def test_bad_settings_of_robustness_are_refused(known, change, error, message):
    data, _, models = known
    settings = {"modality": "first", "corruption": "noise", **change}
    with pytest.raises(error, match=message):
        evaluate.robustness(models, data, **settings)


# Missing modalities.


@pytest.mark.parametrize("kind", ["redundant", "mixture"])
def test_a_model_that_is_told_what_is_missing_reaches_the_limit_of_the_rest(kind):
    data, task = interactions(
        kind, 3, 5, noise=0.5, num_train=9, num_val=9, num_test=4_000
    )
    found = evaluate.missing(exact(task), data)
    [scores] = found.scores.values()
    assert list(scores)[0] == task.modalities and len(scores) == 7
    for subset, runs in scores.items():
        assert_share(runs[0], task.limit(*subset), 4_000)
    assert found.table().header[1] == "first + second + third"


def test_what_the_data_lack_themselves_stays_missing():
    data, task = interactions(
        "redundant", 2, 4, 0.3, (0.5, 0.2), num_train=9, num_val=9, num_test=4_000
    )
    model = exact(task)
    [scores] = evaluate.missing(model, data).scores.values()
    assert set(scores) == {("first", "second"), ("first",), ("second",)}
    for subset, runs in scores.items():
        assert_share(runs[0], task.limit(*subset), 4_000)
    flags = inputs_from(model, data.test, ["second"])["presence"]
    np.testing.assert_array_equal(flags["first"], 0)
    np.testing.assert_array_equal(flags["second"], data.test.presence["second"])
    found = evaluate.robustness(model, data, "second", "shuffled", (0, 1))
    assert_share(found.curves["exact"][0, 0], task.limit(), 4_000)


def test_absent_modalities_have_no_effect_with_a_mask_and_are_blank_without():
    task = Interactions("unique", dim=4, noise=0.5)
    data = task.sample(9, 9, 50)
    told, other = exact(task), exact(task, presence=False)
    inputs = inputs_from(told, data.test, ["first"])
    assert inputs["presence"]["first"].all() and not inputs["presence"]["second"].any()
    broken = {**inputs, "second": np.full_like(inputs["second"], np.nan)}
    assert_close(told.predict(broken, verbose=0), told.predict(inputs, verbose=0))
    blank = inputs_from(other, data.test, ["first"])
    assert list(blank) == ["first", "second"]
    assert np.array_equal(blank["first"], data.test["first"])
    means = np.tile(data.test["second"].mean(axis=0), (50, 1))
    assert_close(blank["second"], means, atol=1e-6)


def test_missing_of_a_model_of_one_modality_and_of_runs(known):
    data, task, models = known
    found = evaluate.missing({"a": [models["both"]] * 2, "b": models["blind"]}, data)
    assert found.scores["a"][("first",)].shape == (2,)
    blind = found.scores["b"]
    assert blind[("second",)] == blind[("first", "second")]
    # Guessing: the same answer for all.
    assert blind[("first",)][0] in [np.mean(data.test.labels == k) for k in (0, 1)]


def test_an_unknown_modality_is_named(known):
    data, _, models = known
    with pytest.raises(KeyError, match="'third': choose from"):
        inputs_from(models["both"], data.test, ["third"])
    with pytest.raises(KeyError, match="'first': choose from"):
        inputs_from(models["both"], {"second": data.test["second"]}, ["second"])
