"""mmlearn: multimodal learning and fusion, taught by running code.

The submodules are imported when they are first used, so that `import mmlearn` stays
fast and a machine without the notebook tools can still train.
"""

import importlib

__version__ = "0.1.0"

_SUBMODULES = (
    "datasets",
    "encoders",
    "evaluate",
    "explain",
    "fusion",
    "layers",
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
