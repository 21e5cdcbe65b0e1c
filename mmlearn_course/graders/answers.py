"""What graders share: to call an answer, and to read what it gives, or else to hint."""

from collections.abc import Callable, Collection, Mapping

import numpy as np

from mmlearn_course.graders import Hint, stopped


def called(answer: Callable, *arguments, where: str = ""):
    """Return what a learner's function gives for copies of these arguments.

    Args:
        answer: The function.
        *arguments: What it gets; arrays are copied, so that it cannot change them.
        where: For which input, if that says something: "with one modality absent".

    Raises:
        Hint: If it is no function, not written yet, stops with an error, or gives None.
    """
    if not callable(answer):
        raise Hint(
            f"Expected a function, got something {_kind(answer)}: give its name, "
            "without ()."
        )
    try:
        with np.errstate(all="ignore"):
            found = answer(*map(_copied, arguments))
    except Exception as error:
        raise Hint(stopped(error, where)) from None
    if found is None:
        where = f" {where}" if where else ""
        raise Hint(f"Your code gives None{where}: is a `return` missing?")
    return found


def unchanged(answer: Callable, *arguments) -> None:
    """Call a function with its own arguments, no copies, and see that it keeps them.

    Raises:
        Hint: If an array, also in a dict or a list, holds something else after it.
    """
    given = [_copied(argument) for argument in arguments]
    called(lambda: answer(*given))
    if not _alike(given, list(arguments)):
        raise Hint(
            "Your function changes the data that it was given: the caller still needs "
            "them. Where is a copy due?"
        )


def numbers(
    found,
    shape: tuple[int | None, ...],
    what: str = "result",
    not_finite: str | None = None,
) -> np.ndarray:
    """Return an array or a tensor as float64, of this shape.

    Args:
        found: What the answer gave.
        shape: What it must have; `None` for any length.
        what: Its name, for the hint.
        not_finite: What to say of NaN, if there is something better to say.

    Raises:
        Hint: If it holds no numbers, has another shape, or is not finite.
    """
    if found is None:
        raise Hint(f"The {what} is None: nothing is there yet.")
    try:
        array = np.asarray(_plain(found), dtype="float64")
    except (TypeError, ValueError):
        raise Hint(
            f"The {what} is {_kind(found)}, expected an array of numbers."
        ) from None
    if array.ndim != len(shape) or any(
        expected not in (None, size)
        for expected, size in zip(shape, array.shape, strict=True)
    ):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        wanted = f"({wanted},)" if len(shape) == 1 else f"({wanted})"
        wanted = wanted if shape else "a single number"
        raise Hint(f"The {what} has shape {array.shape}, expected {wanted}.")
    if not np.isfinite(array).all():
        raise Hint(not_finite or f"The {what} holds NaN or infinity.")
    return array


def same(found: np.ndarray, expected, tolerance: float = 1e-4) -> bool:
    """Are these numbers equal, up to rounding in float32?"""
    return np.allclose(found, expected, rtol=tolerance, atol=tolerance)


def prediction(
    found, expected: Mapping, allowed: Collection, hint: str | Mapping
) -> None:
    """Compare a dict of predictions with what is true.

    Args:
        found: What the learner predicts: a dict with the keys of `expected`.
        expected: What is true.
        allowed: The values to choose from.
        hint: What helps where not all are right; it should not say which. A dict has
            one for each key: the first that is wrong is asked about.

    Raises:
        Hint: If the dict has other keys or values, or is not right.
    """
    if not isinstance(found, Mapping):
        raise Hint(
            f"Expected a dict with your predictions, got something {_kind(found)}."
        )
    if lacking := [key for key in expected if key not in found]:
        raise Hint(f"There is no prediction for {lacking[0]!r}.")
    if extra := [key for key in found if key not in expected]:
        raise Hint(f"{extra[0]!r} was not asked for: choose among {list(expected)}.")
    for key in expected:
        if not any(found[key] is one or _equal(found[key], one) for one in allowed):
            choices = ", ".join(map(repr, allowed))
            raise Hint(f"{key!r} is {found[key]!r}: choose one of {choices}.")
    for key, value in expected.items():
        if not _equal(found[key], value):
            raise Hint(hint[key] if isinstance(hint, Mapping) else hint)


def right(text: str) -> None:
    """Say that an answer is right."""
    print(f"Right: {text}")


def _equal(one, other) -> bool:
    return isinstance(one, type(other) | np.bool_) and bool(one == other)


def _copied(argument):
    if isinstance(argument, np.ndarray):
        return argument.copy()
    if isinstance(argument, list):
        return [_copied(one) for one in argument]
    if isinstance(argument, dict):
        return {key: _copied(one) for key, one in argument.items()}
    return argument


def _alike(one, other) -> bool:
    if isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[k], other[k]) for k in one)
    if isinstance(other, list | tuple):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(_alike(a, b) for a, b in pairs)
    if isinstance(other, np.ndarray):
        exact = other.dtype.kind == "f"
        return np.array_equal(one, other, equal_nan=exact)
    return one is other or bool(one == other)


def _plain(found):
    """A backend's tensor as a NumPy array; anything else as it is."""
    if isinstance(found, list | tuple):
        return [_plain(one) for one in found]
    if isinstance(found, np.ndarray | np.generic) or not hasattr(found, "dtype"):
        return found
    from keras import ops

    try:
        return ops.convert_to_numpy(found)
    except Exception:
        return found


def _kind(found) -> str:
    return "that is None" if found is None else f"of type {type(found).__name__}"
