"""Scores of predicted times where some true times are only lower bounds."""

import numpy as np


def concordance(predicted: np.ndarray, times: np.ndarray, events: np.ndarray) -> float:
    """Return the share of comparable pairs that are predicted in the right order.

    C = Σ 1[p_i < p_j] + ½ 1[p_i = p_j] over the pairs with t_i < t_j whose shorter
    time ended in an event, divided by their number: of a stopped machine it is not
    known whether it would have outlived another one. At equal times an event comes
    before a stop; two events are not compared. 0.5 is guessing, 1 is perfect. Harrell
    et al. 1982, https://doi.org/10.1001/jama.1982.03320430047030.

    Args:
        predicted: Predicted times, or anything that rises with them, shape (N,).
        times: Observed times, shape (N,).
        events: Whether a time ended in the event; if not, it is a lower bound, (N,).

    Raises:
        ValueError: If the shapes do not fit, a number is not finite, events are not
            yes or no, or no pair can be compared.
    """
    predicted, times = np.asarray(predicted, float), np.asarray(times, float)
    events = np.asarray(events)
    if predicted.ndim != 1 or not predicted.shape == times.shape == events.shape:
        raise ValueError(
            f"predicted, times and events have shapes {predicted.shape}, "
            f"{times.shape} and {events.shape}: expected (N,) each"
        )
    if not np.isfinite(predicted).all() or not np.isfinite(times).all():
        raise ValueError("predicted or times hold NaN or infinity: repair these rows")
    if not np.isin(events, (0, 1)).all():
        raise ValueError("events are not all True or False: say what ended in an event")
    events, right, comparable = events.astype(bool), 0.0, 0
    for row in np.flatnonzero(events):
        later = (times > times[row]) | ((times == times[row]) & ~events)
        ahead = predicted[later] - predicted[row]
        right += np.count_nonzero(ahead > 0) + 0.5 * np.count_nonzero(ahead == 0)
        comparable += len(ahead)
    if not comparable:
        raise ValueError(
            "no pair can be compared: expected an event before another time ends"
        )
    return right / comparable
