"""What every test starts from, and which tests run on which backend.

`make verify` and the CI workflow both read that here. On TensorFlow, all tests run. On
another backend, the files below do, without their tests that are marked `one_backend`,
since they say nothing of how a backend computes.
"""

import os
from pathlib import Path

import pytest

from mmlearn import datasets

HERE = Path(__file__).parent
EVERY_BACKEND = [
    HERE / name
    for name in [
        "test_attributions.py",
        "test_baselines.py",
        "test_benchmarks.py",
        "test_compare.py",
        "test_cost.py",
        "test_encoders.py",
        "test_explain.py",
        "test_fusion.py",
        "test_fusion_attention.py",
        "test_fusion_values.py",
        "test_gpu_kit.py",
        "test_heads.py",
        "test_labels.py",
        "test_layers.py",
        "test_losses.py",
        "test_models.py",
        "test_precision.py",
        "test_presence.py",
        "test_pretrained.py",
        "test_saving.py",
        "test_store.py",
        "test_stress.py",
        "test_training.py",
        "exercises/test_graders.py",
    ]
]
ELSEWHERE = os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a list that names a file which is not there, on TensorFlow, too."""
    config.addinivalue_line("markers", "one_backend: run on TensorFlow only")
    config.addinivalue_line("markers", "verify: a minute or more; not in `make test`")
    for path in EVERY_BACKEND:
        if not path.exists():
            raise pytest.UsageError(
                f"tests/conftest.py: there is no {path.relative_to(HERE)}: was it "
                "renamed? Correct EVERY_BACKEND"
            )


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the other files without importing them, which costs a minute."""
    is_test = collection_path.name.startswith("test_")
    return ELSEWHERE and is_test and collection_path not in EVERY_BACKEND or None


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out single tests."""
    left_out = [i for i in items if ELSEWHERE and i.get_closest_marker("one_backend")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True)
def no_stand_ins_yet(monkeypatch):
    """A process remembers the stand-ins it loaded: each test starts with none."""
    monkeypatch.setattr(datasets.base, "STAND_INS", {})
