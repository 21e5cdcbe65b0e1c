"""What a grader must accept and reject."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cases:
    """Answers to one exercise, by a name that says what is special about them."""

    right: Mapping[str, Any]
    wrong: Mapping[str, Any]
