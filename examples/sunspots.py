"""
Forecasting sunspots
====================

Forecasting the yearly sunspot number: an RNN fitted by L-BFGS, and its chain of Jacobians.

The number of a year is forecast from those of all years before. The network has four units and a
direct way for the last number; it is fitted to the years up to 1920 and tested on those behind.
"""

import sys

import numpy as np
from scipy.optimize import minimize

import fastbp as bp
from fastbp.benchmarks import sunspots

UNITS, LAST = 4, 1920
# Units and penalty were chosen by forecasts of the fifty years behind 1820 and behind 1870. The
# first years only bring the state to where it belongs.
PENALTY, SKIP = 8e-3, 8
SPANS = ((1709, 1920), (1921, 1955), (1956, 1979), (1980, 2008))


def unpack(flat):
    """Cut SciPy's vector into the operands of the cell and those of the output."""
    n = UNITS
    W, U, b, v, (a, c) = np.split(flat, np.cumsum([n * n, n, n, n]))
    return {"W": W.reshape(n, n), "U": U.reshape(1, n), "b": b}, (v, a, c)


def forecast(flat, series):
    """Forecast every value but the first from the values before it."""
    cell, (v, a, c) = unpack(flat)
    hs, _ = bp.recurrent.rnn(series[:-1, None], np.zeros(UNITS), **cell)
    return hs @ v + a * series[:-1] + c


def loss(flat, series):
    error = (forecast(flat, series) - series[1:])[SKIP:]
    return np.mean(error**2) + PENALTY * np.sum(flat**2)


def main():
    years, numbers = sunspots.load()
    known = int((years <= LAST).sum())
    mean, deviation = numbers[:known].mean(), numbers[:known].std()
    series = (numbers - mean) / deviation

    start = np.random.default_rng(0).standard_normal(UNITS * (UNITS + 3) + 2) / 4
    # value_and_grad returns what jac=True asks for: both, from one recording.
    fit = minimize(
        bp.value_and_grad(loss), start, args=(series[:known],), jac=True, method="L-BFGS-B"
    )
    print(f"L-BFGS: {fit.nit} iterations, {fit.nfev} gradients, loss {fit.fun:.4f}")

    forecasts = {
        "the number of the year before": np.r_[np.nan, numbers[:-1]],
        "AR(2), least squares": sunspots.autoregression(numbers, 2, known),
        "AR(9), least squares": sunspots.autoregression(numbers, 9, known),
        "rnn, four units": np.r_[np.nan, forecast(fit.x, series) * deviation + mean],
    }
    print("mean square error of forecasts, as a share of the variance of the series")
    print(" " * 30 + "".join(f"{a}-{b}".rjust(11) for a, b in SPANS))
    for name, values in forecasts.items():
        share = (values - numbers) ** 2 / numbers.var()
        means = [share[(years >= a) & (years <= b)].mean() for a, b in SPANS]
        print(f"{name:30s}" + "".join(f"{x:11.3f}" for x in means))

    cell, _ = unpack(fit.x)
    chain = bp.recurrent.trajectory_jacobians(
        bp.recurrent.rnn, np.zeros(UNITS), series[:-1, None], **cell
    )
    norms = chain.norms(2)
    print(f"\n{chain}: Lyapunov exponents per year {chain.spectrum().round(3)}")
    print("years passed    log10 of the spectral norm of d(state)/d(first state)")
    for t in (1, 2, 5, 10, 20, 50, 100, 200, 308):
        print(f"{t:12d} {norms.cumulative[t - 1] / np.log(10):12.2f}")
    return years, numbers, forecasts["rnn, four units"], norms


def draw(years, numbers, forecasts, norms):
    """Draw the forecasts of the years behind 1920, and the norms of the chain."""
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, figsize=(8.0, 7.0), layout="constrained")
    behind = years >= LAST
    above.plot(years[behind], numbers[behind], "k.-", label="seen")
    above.plot(years[behind], forecasts[behind], label="forecast from the years before")
    above.set_ylabel("sunspot number")
    above.legend()
    norms.plot(below)
    return figure


if __name__ == "__main__":
    found = main()
    if sys.argv[1:]:  # a file for the picture
        draw(*found).savefig(sys.argv[1])
