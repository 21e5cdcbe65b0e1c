"""Tests of the set-up, and of what a notebook shows: figures and progress lines."""

import inspect
import subprocess
import sys

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from IPython.utils.capture import capture_output

import mmlearn
from mmlearn import plots, runtime
from mmlearn.runtime import Gpu, Profile

PUBLIC = ("datasets", "encoders", "evaluate", "explain", "fusion", "plots")


def python(code: str) -> str:
    """Runs code in a fresh process and returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- import --------------------------------------------------------------------------


def test_importing_the_package_imports_nothing_heavy():
    loaded = python(
        "import sys, mmlearn\nprint(*{name.split('.')[0] for name in sys.modules})"
    ).split()
    heavy = {"keras", "tensorflow", "jax", "torch", "numpy", "sklearn", "scipy"}
    heavy |= {"matplotlib", "tokenizers", "pooch", "IPython"}
    assert "mmlearn" in loaded and not heavy & set(loaded)


def test_submodules_come_when_they_are_used():
    code = """
import sys, mmlearn
assert "datasets" in dir(mmlearn) and "mmlearn.datasets" not in sys.modules
print(mmlearn.datasets.sources.DATA.name)
try:
    mmlearn.fussion
except AttributeError as error:
    print(error)
"""
    assert python(code).splitlines() == [
        "data",
        "module 'mmlearn' has no attribute 'fussion'",
    ]


@pytest.mark.parametrize("name", [None, *PUBLIC])
def test_completion_shows_public_names_only(name):
    package = mmlearn if name is None else getattr(mmlearn, name)
    shown = [entry for entry in dir(package) if not entry.startswith("__")]
    assert shown == sorted(package.__all__) and shown
    for entry in shown:
        thing = getattr(package, entry)
        # Modules are shown where they are what a package offers.
        assert not inspect.ismodule(thing) or name in (None, "encoders")


# --- setup ---------------------------------------------------------------------------


@pytest.fixture
def unset(monkeypatch):
    monkeypatch.delenv("MMLEARN_PROFILE", raising=False)


def test_the_profile_is_the_argument_then_the_environment_then_fast(unset, monkeypatch):
    assert runtime.profile_name() == "fast"
    monkeypatch.setenv("MMLEARN_PROFILE", "full")
    assert runtime.profile_name() == "full"
    assert runtime.profile_name("fast") == "fast"
    assert runtime.setup(0).name == "full"


def test_an_unknown_profile_is_refused_wherever_it_comes_from(unset, monkeypatch):
    with pytest.raises(ValueError, match="'quick' is unknown: choose 'fast'"):
        runtime.setup(0, "quick")
    monkeypatch.setenv("MMLEARN_PROFILE", "FAST")
    with pytest.raises(ValueError, match="'FAST' is unknown.*MMLEARN_PROFILE"):
        runtime.setup(0)


@pytest.mark.parametrize("value", [0, False, "", 7])
def test_pick_prefers_what_the_reader_set(value):
    assert Profile("fast").pick(value, fast=1, full=2) is value


def test_pick_asks_the_profile_otherwise():
    assert Profile("fast").pick(None, fast=1, full=2) == 1
    assert Profile("full").pick(None, fast=1, full=2) == 2


@pytest.mark.parametrize("seed", [-1, 1.0, "1", None, True])
def test_a_seed_that_is_no_whole_number_is_refused(unset, seed):
    with pytest.raises(ValueError, match="give a whole number"):
        runtime.setup(seed)


def test_a_seed_fixes_weights_and_draws(unset):
    def drawn(seed):
        runtime.setup(seed)
        dense = keras.layers.Dense(3)
        dense.build((None, 2))
        noise = keras.random.normal((2,), seed=keras.random.SeedGenerator())
        return [
            *dense.get_weights()[0].ravel(),
            *np.random.rand(2),
            *keras.ops.convert_to_numpy(noise),
        ]

    first = drawn(3)
    np.testing.assert_array_equal(drawn(3), first)
    assert (np.array(drawn(4)) != first).all()


def test_setup_says_in_one_line_what_it_computes_on(unset, capsys):
    runtime.setup(5)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    for part in ("profile fast", "seed 5", keras.__version__, keras.backend.backend()):
        assert part in out
    assert keras.config.dtype_policy().name in out


@pytest.mark.parametrize(
    ("gpu", "policy"),
    [
        (None, "float32"),
        (Gpu("GTX 1080", 8, 6.1), "float32"),
        (Gpu("T4", 15, 7.5), "mixed_float16"),
        (Gpu("V100", 16, 7.0), "mixed_float16"),
        (Gpu("A100", 40, 8.0), "mixed_bfloat16"),
        (Gpu("H200", 139, 9.0), "mixed_bfloat16"),
    ],
)
def test_precision_suits_the_device(gpu, policy):
    assert runtime.precision_for(gpu) == policy


def test_there_is_always_a_device():
    assert runtime.devices()


# --- figures -------------------------------------------------------------------------

ALT = "A line that rises from 0 to 1 over two steps."


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """An IPython shell that renders figures, as a notebook's kernel does."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    plt.switch_backend("agg")
    plt.close("all")
    hook = sys.displayhook
    shell = InteractiveShell.instance()
    select_figure_formats(shell, {"png"})
    yield shell
    InteractiveShell.clear_instance()
    sys.displayhook = hook


def figure():
    made, axis = plt.subplots(figsize=(1, 1))
    axis.plot([0, 1])
    return made


def test_a_figure_is_shown_once_with_its_description_and_closed(shell):
    with capture_output() as shown:
        plots.show(figure(), ALT)
    assert len(shown.outputs) == 1
    assert shown.outputs[0].data["image/png"]
    assert shown.outputs[0].metadata["image/png"] == {"alt": ALT}
    assert plt.get_fignums() == []


@pytest.mark.parametrize("alt", ["", "A plot."])
def test_a_description_that_says_nothing_is_refused(shell, alt):
    with capture_output() as shown, pytest.raises(ValueError, match="in a sentence"):
        plots.show(figure(), alt)
    assert shown.outputs == []


# --- progress ------------------------------------------------------------------------


# In a fresh process: here, the tests' own IPython makes it look like a kernel.
FITS = """
import keras
import numpy as np
from mmlearn.training import Progress
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
for epochs in (1, 3):  # the line does not depend on how long it took
    progress = Progress("training", fits=2)
    for _ in range(2):
        model.fit(
            np.ones((4, 2)), np.ones((4, 1)), epochs=epochs, verbose=0,
            callbacks=[progress],
        )
        print(progress.done)
progress = Progress("one")
model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[progress])
"""


def test_progress_counts_fits_and_ends_in_the_same_line():
    series = ["1", "training: 2 fits done", "2"]
    assert python(FITS).splitlines() == [*series, *series, "one: 1 fit done"]
