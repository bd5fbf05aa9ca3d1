"""How the error falls as the training data grow: a power law with a floor."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FLOORS = np.linspace(0, 0.99, 100)  # candidates, as shares of the lowest error
FEWEST_SIZES = 4  # three parameters are fitted


def fit_power_law(sizes: ArrayLike, errors: ArrayLike) -> NDArray[np.float64]:
    """Fit error = floor + factor * size ** -exponent, the usual shape of learning curves.

    For each candidate of the floor the other two follow by a line through the logarithms; the floor
    whose curve lies closest to the logarithms of the errors is taken. The shape is that of Viering
    and Loog, "The Shape of Learning Curves: a Review" (2023).

    Parameters
    ----------
    sizes : array (s,)
        Numbers of training images, at least 4 of them.
    errors : array (..., s)
        Error rates above 0; a fit for each leading index.

    Returns
    -------
    array (..., 3)
        Floor, factor and exponent.

    Raises
    ------
    ValueError
        If there are fewer than 4 sizes or an error is not above 0.

    Examples
    --------
    >>> sizes = np.array([1000, 2000, 4000, 8000, 16000])
    >>> law = fit_power_law(sizes, 0.01 + 2 * sizes**-0.5)
    >>> law.round(2).tolist()
    [0.01, 2.01, 0.5]
    >>> power_law(law, 32000).round(4).item()
    0.0212
    """
    sizes, errors = np.asarray(sizes, float), np.asarray(errors, float)
    if len(sizes) < FEWEST_SIZES or (errors <= 0).any():
        raise ValueError("at least 4 sizes and errors above 0 are needed")
    floors = FLOORS * errors.min(axis=-1, keepdims=True)  # (..., f)
    x = np.log(sizes) - np.log(sizes).mean()
    above = np.log(errors[..., None, :] - floors[..., None])  # (..., f, s)
    slopes, means = above @ x / (x @ x), above.mean(axis=-1)
    curves = floors[..., None] + np.exp(means[..., None] + slopes[..., None] * x)
    distances = ((np.log(curves) - np.log(errors[..., None, :])) ** 2).sum(axis=-1)
    best = distances.argmin(axis=-1)[..., None]
    floor, slope, mean = (
        np.take_along_axis(values, best, -1)[..., 0] for values in (floors, slopes, means)
    )
    return np.stack([floor, np.exp(mean - slope * np.log(sizes).mean()), -slope], axis=-1)


def power_law(law: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """Return the error rate that a law, or each of several, gives for a number of images.

    Parameters
    ----------
    law : array (..., 3)
        As `fit_power_law` returns it.
    size : float
        Number of training images.

    Returns
    -------
    array (...)

    Examples
    --------
    >>> power_law(np.array([0.01, 2.0, 0.5]), 400).item()
    0.11
    """
    return np.asarray(law[..., 0] + law[..., 1] * size ** -law[..., 2])
