"""What every test starts from."""

import pytest

from mmlearn import datasets


@pytest.fixture(autouse=True)
def no_stand_ins_yet(monkeypatch):
    """A process remembers the stand-ins it loaded: each test starts with none."""
    monkeypatch.setattr(datasets.base, "STAND_INS", {})
