"""mmlearn: multimodal learning and fusion, taught by running code.

The submodules are imported when they are first used, so that `import mmlearn` stays
fast and a machine without the notebook tools can still train. Where Keras is
imported before, what a saved model may name is registered at once: after `import keras,
mmlearn`, `keras.saving.load_model` knows it.
"""

import importlib
import sys

__version__ = "0.1.0"

_SUBMODULES = (
    "datasets",
    "encoders",
    "evaluate",
    "explain",
    "fusion",
    "layers",
    "losses",
    "models",
    "plots",
    "runtime",
    "saving",
    "text",
    "training",
)
__all__ = list(_SUBMODULES)


def __getattr__(name: str):
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


if "keras" in sys.modules:
    for _name in ("encoders", "losses", "models"):  # which import all layers
        importlib.import_module(f"{__name__}.{_name}")
