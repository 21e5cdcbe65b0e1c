"""Figures say in words what they show, from the data that they show."""

import base64
import io
import re
import sys
import warnings
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from IPython.utils.capture import capture_output

from mmlearn import datasets, evaluate, plots
from mmlearn.explain import Contributions

rng = np.random.default_rng(0)
LABELS = rng.integers(3, size=300)
RIGHT = np.eye(3)[LABELS]


@pytest.fixture(autouse=True)
def shell(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    plt.switch_backend("agg")
    plt.close("all")
    hook = sys.displayhook
    shell = InteractiveShell.instance()
    select_figure_formats(shell, {"png"})
    yield shell
    InteractiveShell.clear_instance()
    sys.displayhook = hook


def alt_of(draw) -> str:
    """Draw; return the description of the one figure, which is shown and closed."""
    with capture_output() as shown:
        draw()
    (output,) = shown.outputs
    assert output.data["image/png"]
    assert plt.get_fignums() == []
    return output.metadata["image/png"]["alt"]


def numbers(alt: str) -> list[float]:
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?", alt)]


def blurred(share: float, seeds: int = 3) -> np.ndarray:
    """Probabilities that are right for about this share of the samples."""
    taken = rng.random((seeds, len(LABELS), 1)) < share
    return np.where(taken, 0.9 * RIGHT + 0.1 / 3, 1 / 3 + 0.0 * RIGHT)


def compared() -> evaluate.Comparison:
    found = evaluate.Comparison(LABELS, single="image only")
    for name, share in (("image only", 0.3), ("fused", 0.8)):
        found.add(name, blurred(share))
    return found


def test_a_comparison_names_the_best_and_gives_every_mean():
    found = compared()
    alt = alt_of(lambda: plots.comparison(found))
    assert alt.startswith("Best: fused")
    for name in found.predictions:
        mean = evaluate.accuracy(found.predictions[name], LABELS).mean
        assert f"{name} {100 * mean:.1f}" in alt


def test_where_lower_is_better_the_lowest_is_best():
    alt = alt_of(lambda: plots.comparison(compared(), "log loss"))
    assert alt.startswith("Best: fused")


def test_reliability_gives_the_calibration_error():
    sure = np.full((300, 3), 0.05) + 0.85 * np.eye(3)[rng.integers(3, size=300)]
    candidates = {"guesses": sure[None]}
    alt = alt_of(lambda: plots.reliability(candidates, LABELS))
    error = evaluate.scores(sure, LABELS)["calibration error"][0]
    assert error > 0.3
    assert f"guesses {100 * error:.1f}" in alt


def test_robustness_tells_where_each_curve_begins_and_ends():
    curves = {"steady": np.array([[0.8, 0.7]]), "frail": np.array([[0.9, 0.2]])}
    found = evaluate.Robustness("image", "noise", np.array([0.0, 1.0]), curves)
    alt = alt_of(lambda: plots.robustness(found))
    assert "steady from 80 to 70" in alt and "frail from 90 to 20" in alt
    assert alt.startswith("At full noise, steady is left with 70 %")


def test_contributions_list_every_modality_of_every_measure():
    ends = {"image": (0.3, 0.2, 0.4), "text": (-0.1, -0.2, 0.0)}
    values = {m: evaluate.Estimate(*e, 300, "samples") for m, e in ends.items()}
    one = Contributions("ablation", values, "")
    alt = alt_of(lambda: plots.contributions({"ablation": one}, "Who did it?"))
    assert "ablation: image 30, text -10" in alt


def test_a_loss_that_rounds_to_nothing_has_no_sign():
    lost = evaluate.Estimate(-0.001, -0.002, 0.0, 300, "samples")
    one = Contributions("ablation", {"image": lost}, "")
    alt = alt_of(lambda: plots.contributions({"ablation": one}, "Who did it?"))
    assert "image 0" in alt and "-0" not in alt


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_embeddings_tell_how_well_the_classes_part(method):
    apart = 50 * np.eye(3)[LABELS] + rng.normal(size=(300, 3))
    mixed = rng.normal(size=(300, 3))
    shares = []
    for features in (apart, mixed):
        draw = partial(plots.embeddings, features, LABELS, "abc", "Classes", method)
        shares.append(numbers(alt_of(draw))[-1])
    assert shares[0] == 100 and shares[1] < 60


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="choose 'pca' or 'tsne'"):
        plots.embeddings(rng.normal(size=(9, 3)), LABELS[:9], "abc", "x", "umap")


def test_an_overlay_says_where_each_map_is_brightest():
    images = rng.integers(0, 256, (2, 9, 9, 3)).astype("uint8")
    maps = np.zeros((2, 9, 9))
    maps[0, 0, 8] = maps[1, 8, 4] = 1
    alt = alt_of(lambda: plots.overlay(images, maps, ["cat", "dog"], "Evidence."))
    assert "cat: top right" in alt and "dog: bottom centre" in alt


def test_grey_pictures_and_dark_maps_can_be_overlaid():
    images, maps = np.zeros((1, 8, 8, 1)), np.zeros((1, 8, 8))
    assert "x: nowhere" in alt_of(
        lambda: plots.overlay(images, maps, ["x"], "Nothing.")
    )


def test_words_name_the_strongest():
    alt = alt_of(
        lambda: plots.words([["a", "wheel"]], [np.array([-0.1, 0.4])], ["truck"])
    )
    assert "truck: 'wheel' +40" in alt


def test_texts_without_words_are_shown_too():
    alt = alt_of(
        lambda: plots.words([[], ["a"]], [np.zeros(0), np.array([0.2])], ["no", "yes"])
    )
    assert "yes: 'a' +20" in alt and "no:" not in alt


def caps_of(draw) -> list[tuple[float, float]]:
    """Where the caps of all error bars stand that are drawn at all."""
    kept = []
    with capture_output(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "close", lambda figure: kept.append(figure))
        draw()
    plt.close("all")
    lines = [
        line
        for axis in kept[0].axes
        for line in axis.lines
        if line.get_marker() in "|_"
    ]
    caps = np.concatenate([line.get_xydata() for line in lines])
    return [tuple(cap) for cap in caps if np.isfinite(cap).all()]


def test_one_seed_has_no_cap_that_would_read_as_no_spread():
    one, three = evaluate.interval([50.0]), evaluate.interval([60.0, 61.0, 62.0])
    drawn = caps_of(lambda: plots.bars({"one": one, "three": three}, "Title", "%"))
    assert [place for place, _ in drawn] == pytest.approx([three.low, three.high])


@pytest.mark.parametrize("source", ["real", "synthetic", "own", "stand-in"])
def test_figures_say_that_a_stand_in_was_loaded(source):
    part = datasets.Split({"x": np.zeros((2, 1))}, np.arange(2), np.arange(2))
    datasets.MultimodalDataset("toy", source, ("a", "b"), part, part, part)
    figure, _ = plt.subplots()
    alt = alt_of(lambda: plots.show(figure, "Two axes without anything in them."))
    written = [text.get_text() for text in figure.texts]
    marked = source == "stand-in"
    assert written == (["STAND-IN DATA (toy)"] if marked else [])
    assert alt.startswith("STAND-IN DATA (toy). Two axes" if marked else "Two axes")


@pytest.mark.parametrize("scale", [1, 255])
def test_grey_pictures_are_grey_and_captions_are_no_formulas(scale):
    pixels = scale * np.full((2, 4, 4, 1), 0.5)
    texts = np.array(["from $20 to $30", "$$ \\frac{ $$"], object)
    split = datasets.Split({"image": pixels, "text": texts}, np.arange(2), np.arange(2))
    with capture_output() as shown:
        plots.pictures(split, ["$a_", "b"], "Two grey squares, with prices below.")
    (output,) = shown.outputs
    picture = plt.imread(io.BytesIO(base64.b64decode(output.data["image/png"])))
    colours = picture[..., :3]
    assert np.abs(colours - colours.mean(axis=-1, keepdims=True)).max() < 0.02
    assert (np.abs(colours[..., 0] - 0.5) < 0.02).mean() > 0.2  # no stretched contrast


def test_characters_without_a_font_are_told(monkeypatch):
    def draw():
        shares = evaluate.interval(np.array([1.0, 2.0]))
        plots.bars({"猫": shares, "dog": shares}, "How many there are", "number")

    for fonts, told in (({"a font"}, ""), (set(), "fonts-noto-cjk")):
        monkeypatch.setattr(plots.style, "_CJK", fonts)
        with warnings.catch_warnings(), capture_output() as shown:
            warnings.simplefilter("ignore")  # of Matplotlib, for each character
            draw()
        assert told in shown.stdout and bool(told) == bool(shown.stdout)
