"""Cox's partial likelihood, its data in a pandas frame.

References: score and information in closed form (Cox 1972, sums over the sets at risk), and
published estimates.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

import fastbp as bp

pd = pytest.importorskip("pandas")

# Weeks of remission of 42 patients with acute leukaemia, whether they relapsed, the log of their
# white blood cells, placebo (1) or 6-mercaptopurine (0): Freireich et al. (1963), Blood 21, 699; as
# in Kleinbaum and Klein, Survival Analysis, the data set that every textbook on the subject takes.
PLACEBO = """1 2.80, 1 5.00, 2 4.91, 2 4.48, 3 4.01, 4 4.36, 4 2.42, 5 3.49, 5 3.97, 8 3.52, 8 3.05,
8 2.32, 8 3.26, 11 3.49, 11 2.12, 12 1.50, 12 3.06, 15 2.30, 17 2.95, 22 2.73, 23 1.97"""
TREATED = """6+ 3.20, 6 2.31, 6 4.06, 6 3.28, 7 4.43, 9+ 2.80, 10 2.96, 10+ 2.70, 11+ 2.60, 13 2.88,
16 3.60, 17+ 2.16, 19+ 2.05, 20+ 2.01, 22 2.32, 23 2.57, 25+ 1.78, 32+ 2.20, 32+ 2.53, 34+ 1.47,
35+ 1.45"""


@pytest.fixture(scope="module")
def df():
    rows = []
    for text, rx in ((PLACEBO, 1), (TREATED, 0)):
        for patient in text.replace("\n", " ").split(","):
            weeks, white = patient.split()
            rows.append((int(weeks.rstrip("+")), int(not weeks.endswith("+")), rx, float(white)))
    return pd.DataFrame(rows, columns=["weeks", "relapse", "rx", "logwbc"])


COVARIATES = ["rx", "logwbc"]


def patient_by_patient(beta, df):
    loglik = 0.0
    for _, row in df[df["relapse"] == 1].iterrows():
        at_risk = df[df["weeks"] >= row["weeks"]]
        eta_i = beta[0] * row["rx"] + beta[1] * row["logwbc"]
        eta = beta[0] * at_risk["rx"].values + beta[1] * at_risk["logwbc"].values
        loglik += eta_i - np.log(np.sum(np.exp(eta)))
    return -loglik


def with_frames(beta, df):
    eta = df[COVARIATES] @ beta
    at_risk = (df["weeks"].values[None, :] >= df["weeks"].values[:, None]).astype(float)
    log_risk = np.log(at_risk @ np.exp(eta))
    return -(df["relapse"] * (eta - log_risk)).sum()


def with_columns(beta, df):
    eta = beta[0] * df["rx"] + beta[1] * df["logwbc"]
    risk = np.array([np.sum(np.exp(eta[df["weeks"] >= t])) for t in df["weeks"]])
    return -np.sum((eta - np.log(risk))[df["relapse"] == 1])


def sorted_and_cumulated(beta, df):
    """By decreasing time, the risk as a running sum; ties by the last of them."""
    df = df.sort_values("weeks", ascending=False)
    X, t, e = df[COVARIATES].to_numpy(), df["weeks"].to_numpy(), df["relapse"].to_numpy()
    eta = X @ beta
    last = np.searchsorted(-t, -t, side="right") - 1
    log_risk = np.log(np.cumsum(np.exp(eta)))[last]
    return -((eta - log_risk) * e).sum()


FORMS = [patient_by_patient, with_frames, with_columns, sorted_and_cumulated]


def formula(beta, df):
    """Minus the log-likelihood (ties as Breslow has them), its gradient and Hessian."""
    X, t = df[COVARIATES].to_numpy(float), df["weeks"].to_numpy()
    value, score, information = 0.0, np.zeros(2), np.zeros((2, 2))
    for i in np.flatnonzero(df["relapse"]):
        R = X[t >= t[i]]
        w = np.exp(R @ beta)
        mean = w @ R / w.sum()
        value -= X[i] @ beta - np.log(w.sum())
        score -= X[i] - mean
        information += (R.T * w) @ R / w.sum() - np.outer(mean, mean)
    return value, score, information


@pytest.mark.parametrize("f", FORMS)
def test_score_and_information(f, df):
    beta = np.array([0.5, 0.8])
    value, score, information = formula(beta, df)
    assert_allclose(f(beta, df), value, rtol=1e-13)
    found = bp.value_and_grad(f)(beta, df)
    assert_allclose(found[0], value, rtol=1e-13)
    assert_allclose(found[1], score, rtol=0, atol=1e-13 * value)
    assert_allclose(bp.hessian(f)(beta, df), information, rtol=0, atol=1e-12 * value)


@pytest.mark.parametrize("f", FORMS)
def test_published_estimates(f, df):
    found = minimize(
        f, np.zeros(2), args=(df,), jac=bp.grad(f), hess=bp.hessian(f), method="trust-exact",
        options={"gtol": 1e-6},
    )  # fmt: skip
    errors = np.sqrt(np.diag(np.linalg.inv(bp.hessian(f)(found.x, df))))
    # Kleinbaum and Klein, chapter 3, model 2.
    assert_allclose(found.x, [1.294, 1.604], rtol=0, atol=0.5e-3)
    assert_allclose(errors, [0.422, 0.329], rtol=0, atol=0.5e-3)
    assert_allclose(found.fun, 72.280, rtol=0, atol=1e-3)
