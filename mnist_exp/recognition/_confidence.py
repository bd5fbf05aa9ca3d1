"""Answers that a model is not sure of, held back."""

from dataclasses import replace

from mnist_exp.errors import UserError
from mnist_exp.recognition._answer import Answer
from mnist_exp.runs import Run

UNREAD = "?"


def recorded_threshold(run: Run) -> float:
    """Return the probability from which a run's answers are right as often as was wanted.

    Parameters
    ----------
    run : Run
        With a model.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    UserError
        If the run has none.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "model.json").write_text('{"confidence": {"threshold": 0.9}}')
    ...     recorded_threshold(Run(folder))
    0.9
    """
    confidence = run.model_card.get("confidence")
    if not isinstance(confidence, dict):
        raise UserError(f"{run.path} recorded no threshold: give a number from 0 to 1")
    threshold = confidence.get("threshold")
    if not isinstance(threshold, int | float):
        target = 100 * float(confidence.get("target", 0))
        raise UserError(
            f"{run.path}: no probability reached {target:g} % right on the images that it was "
            "chosen on: give a number from 0 to 1"
        )
    return float(threshold)


def held_back(answer: Answer, threshold: float) -> Answer:
    """Return an answer without the labels whose probability is below a threshold.

    Parameters
    ----------
    answer : Answer
        Of one digit or a row of them.
    threshold : float
        The least probability that is answered.

    Returns
    -------
    Answer
        The same, or one without a label, with the two most probable classes as its reason; of a row
        the reason shows which digits are missing.

    Raises
    ------
    UserError
        If the model gives no probabilities.

    Examples
    --------
    >>> held_back(Answer("4", probabilities={"4": 0.5, "7": 0.1, "9": 0.4}), 0.9).reason
    'not sure: 4 or 9'
    """
    if answer.digits:
        return _row(answer, [held_back(digit, threshold) for digit in answer.digits])
    if answer.label is None:
        return answer
    if answer.probabilities is None:
        raise UserError("the model gives no probabilities: train it with calibration=temperature")
    if answer.probabilities[answer.label] >= threshold:
        return answer
    others = {name: p for name, p in answer.probabilities.items() if name != answer.label}
    second = max(others, key=others.__getitem__, default=UNREAD)
    return replace(answer, label=None, reason=f"not sure: {answer.label} or {second}")


def _row(answer: Answer, digits: list[Answer]) -> Answer:
    doubtful = [
        old.label is not None and new.label is None
        for old, new in zip(answer.digits, digits, strict=True)
    ]
    if answer.label is None or not any(doubtful):
        return replace(answer, digits=digits)
    names = [digit.label or UNREAD for digit in digits]
    between = "" if all(len(name) == 1 for name in names) else " "
    return replace(answer, label=None, reason=f"not sure: {between.join(names)}", digits=digits)
