"""The surrogate: a Gaussian process of scikit-optimize over the unit cube, hyperparameters at their posterior mode.

Notation: x in [0, 1]^d, y the objective, centred and divided by its spread; k = a Matern_5/2(x / l) + s, one length
l_i per dimension, a the signal's and s the noise's variance.

    log l_i ~ N(log(0.35 sqrt(d)), 0.8^2)     log a ~ N(0, 1)     log s ~ N(log 0.1, 1)

Lengths grow with sqrt(d), as distances in the cube do (Hvarfner, Hellsten and Nardi 2024), so that forty points in
eight dimensions are not read as noise; the maximum likelihood has no such hold and needs restarts. The mode is found
by L-BFGS-B from the priors' centre. Prediction is Rasmussen and Williams (2006), algorithm 2.1, here rather than
in scikit-optimize because its own takes n^2 per candidate in a loop and refits for each point of a batch.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Floats = NDArray[np.float64]
_LENGTH, _LENGTH_SD = 0.35, 0.8
_NOISE, _VARIANCE_SD = 0.1, 1.0
_BOUNDS = (1e-3, 1e2)
_STEPS = 60


@dataclass(frozen=True)
class Surrogate:
    """A fitted process; `with_more` conditions it on further values without fitting again."""

    x: Floats
    y: Floats
    kernel: Any
    root: Floats
    mean: float
    scale: float

    @classmethod
    def conditioned(cls, x: Floats, y: Floats, kernel: Any, mean: float, scale: float) -> Surrogate:
        return cls(x, y, kernel, cholesky(kernel(x), lower=True), mean, scale)

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """Mean and sd of the objective without noise, float64[n] each, in the unit of y."""
        cross = self.kernel(x, self.x)
        weights = cho_solve((self.root, True), (self.y - self.mean) / self.scale)
        explained = solve_triangular(self.root, cross.T, lower=True)
        signal = float(self.kernel.k1.k1.constant_value)
        variance = np.maximum(signal - (explained * explained).sum(axis=0), 0.0)
        return self.mean + self.scale * (cross @ weights), self.scale * np.sqrt(variance)

    def with_more(self, x: Floats, y: Floats) -> Surrogate:
        """The same hyperparameters with the points (x, y) added."""
        xs, ys = np.vstack([self.x, x]), np.concatenate([self.y, y])
        return Surrogate.conditioned(xs, ys, self.kernel, self.mean, self.scale)


def fit(x: Floats, y: Floats) -> Surrogate:
    """Fit to x float64[n, d] in the unit cube and y float64[n], all finite, n at least 2."""
    from skopt.learning import GaussianProcessRegressor
    from skopt.learning.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    d = x.shape[1]
    length = _LENGTH * math.sqrt(d)
    kernel = ConstantKernel(1.0, _BOUNDS) * Matern([length] * d, [_BOUNDS] * d, nu=2.5) + WhiteKernel(_NOISE, _BOUNDS)
    centre = np.log([1.0, *[length] * d, _NOISE])
    width = np.array([_VARIANCE_SD, *[_LENGTH_SD] * d, _VARIANCE_SD])

    def posterior_mode(objective: Any, start: Floats, bounds: Floats) -> tuple[Floats, float]:
        def negative(theta: Floats) -> tuple[float, Floats]:
            value, gradient = objective(theta)
            off = (theta - centre) / width
            return float(value + 0.5 * (off @ off)), np.asarray(gradient + off / width)

        found = minimize(
            negative, centre, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": _STEPS, "ftol": 1e-6}
        )
        return found.x, float(found.fun)

    mean, scale = float(np.mean(y)), float(np.std(y)) or 1.0
    model = GaussianProcessRegressor(kernel=kernel, optimizer=posterior_mode, normalize_y=False, noise=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a length at its bound is no news here
        model.fit(x, (y - mean) / scale)
    return Surrogate.conditioned(x, y, model.kernel_, mean, scale)
