"""
Survival times with censoring
=============================

Survival with censoring: a Weibull regression of a trial of leukaemia, by maximum likelihood.

A patient whose remission ended counts by the density, one who left the trial before by the
survivor function. The Hessian at the maximum gives the standard errors.
"""

import sys

import numpy as np
from scipy.optimize import minimize

import fastbp as bp

# Weeks of remission, 21 patients on 6-mercaptopurine and 21 on placebo; a minus: still in remission
# when last seen. E. J. Freireich et al., Blood 21 (1963), 699-716.
DRUG = [6, 6, 6, 7, 10, 13, 16, 22, 23, -6, -9, -10, -11, -17, -19, -20, -25, -32, -32, -34, -35]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
NAMES = ("placebo", "drug", "log shape")


def negative_log_likelihood(w, weeks, ended, drug):
    """Return -log L of the hazard a t^(a - 1) exp(w0 + w1 drug) with a = exp(w2)."""
    eta, log_t = w[0] + w[1] * drug, np.log(weeks)
    log_hazard = w[2] + np.expm1(w[2]) * log_t + eta
    cumulative = np.exp(eta + np.exp(w[2]) * log_t)
    return np.sum(cumulative - ended * log_hazard)


def main():
    signed = np.array(DRUG + PLACEBO, float)
    weeks, ended = np.abs(signed), (signed > 0).astype(float)
    drug = np.repeat([1.0, 0.0], [len(DRUG), len(PLACEBO)])

    fit = minimize(
        negative_log_likelihood,
        np.array([-2.0, 0.0, 0.0]),
        args=(weeks, ended, drug),
        jac=bp.grad(negative_log_likelihood),
        hess=bp.hessian(negative_log_likelihood),
        method="trust-exact",
    )
    information = bp.hessian(negative_log_likelihood)(fit.x, weeks, ended, drug)
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    print(f"trust-exact: {fit.nit} iterations, log likelihood {-fit.fun:.3f}")
    for name, value, error in zip(NAMES, fit.x, errors, strict=True):
        print(f"{name:10} {value:7.3f} +- {error:.3f}")
    # D. G. Kleinbaum, M. Klein, Survival Analysis, chapter 7: the same model by Stata.
    assert np.allclose(fit.x, [-3.071, -1.731, 0.312], atol=1e-3)
    assert np.allclose(errors, [0.558, 0.413, 0.147], atol=1e-3)

    # With shape 1 the hazards are constant, and their estimates events / weeks, in closed form.
    by_hand = [ended[drug == k].sum() / weeks[drug == k].sum() for k in (0, 1)]
    w = np.array([np.log(by_hand[0]), np.log(by_hand[1] / by_hand[0]), 0.0])
    score = bp.grad(negative_log_likelihood)(w, weeks, ended, drug)
    assert np.abs(score[:2]).max() < 1e-12
    print(f"constant hazards {by_hand[0]:.4f} and {by_hand[1]:.4f} a week; ", end="")
    # A score test of that shape, from the same two derivatives.
    block = bp.hessian(negative_log_likelihood)(w, weeks, ended, drug)
    print(f"score test of it: chi^2 {score @ np.linalg.solve(block, score):.2f}, 1 degree")

    def median(w):
        """Weeks until half of those with the drug have ended."""
        return np.exp((np.log(np.log(2.0)) - w[0] - w[1]) * np.exp(-w[2]))

    slope = bp.grad(median)(fit.x)
    error = np.sqrt(slope @ np.linalg.solve(information, slope))
    print(f"median with the drug: {median(fit.x):.1f} +- {error:.1f} weeks")
    return fit.x, weeks, ended, drug


def draw(w, weeks, ended, drug):
    """Draw the survivor functions, fitted and by Kaplan and Meier."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(layout="constrained")
    t = np.linspace(0.0, 35.0, 200)
    for k, name in enumerate(("placebo", "6-mercaptopurine")):
        times = np.unique(weeks[(drug == k) & (ended == 1)])
        at_risk = np.sum(weeks[drug == k] >= times[:, None], axis=1)
        events = np.sum((weeks == times[:, None]) & (drug == k) & (ended == 1), axis=1)
        steps = np.r_[1.0, np.cumprod(1.0 - events / at_risk)]
        ax.step(np.r_[0.0, times], steps, f"C{k}:", where="post")
        ax.plot(t, np.exp(-np.exp(w[0] + k * w[1]) * t ** np.exp(w[2])), f"C{k}", label=name)
    ax.set(xlabel="weeks", ylabel="still in remission", ylim=(0.0, 1.03))
    ax.set_title("Weibull regression; dotted: Kaplan and Meier")
    ax.legend()
    return figure


if __name__ == "__main__":
    found = main()
    if sys.argv[1:]:  # a file for the picture
        draw(*found).savefig(sys.argv[1])
