"""Graders: the self-checks of the exercise notebooks, one module per notebook.

A grader takes an answer. If it is right, one line is printed; otherwise a `Hint` says
what to look at. Graders test what an answer does, never how it is written.
"""

import functools
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Hint(AssertionError):  # noqa: N818, it is what a learner reads
    """An answer is not right yet; the text says what to look at."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback through the grader."""
        return [f"Hint: {self}"]


def grader(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """Let a grader raise nothing but hints, whatever the answer is.

    Args:
        check: Takes the answer; prints a line if it is right, else raises `Hint`.

    Returns:
        The grader. Of no answer, of an untouched stub, and of an answer that raises or
        is of a type that the grader did not foresee, it makes a hint.
    """

    @functools.wraps(check)
    def grade(answer: Any) -> None:
        if answer is None:
            raise Hint("There is no answer yet: this is None.")
        try:
            check(answer)
        except Hint as hint:
            problem = str(hint)
        except Exception as error:
            problem = stopped(error)
        else:
            return
        raise Hint(problem)

    return grade


def stopped(error: Exception, where: str = "") -> str:
    """Say in one line where and why an answer stopped.

    Args:
        error: What it raised.
        where: For which input, such as "with one modality absent".

    Returns:
        The text of a hint, with the line of the learner's code if it can be found.
    """
    if isinstance(error, NotImplementedError):
        return "There is no answer yet: write it in place of the stub, run its cell."
    reasons = [
        line
        for line in map(str.strip, _ANSI.sub("", str(error)).splitlines())
        if line and not line.startswith("Exception encountered when calling")  # Keras
    ]
    reason = (reasons or ["no message"])[0][:160]
    course = Path(__file__).parents[1]
    own = (str(course), str(course.parent / "mmlearn"))
    lines = [
        frame.line
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename
        and not frame.filename.startswith(own)
        and frame.line
    ]
    line = f" in the line `{lines[-1]}`" if lines else ""
    where = f" {where}" if where else ""
    return f"Your code stops{where}{line} with {type(error).__name__}: {reason}"
