"""Checks of derivatives: `check_grads`, and `check_jac` of Jacobians written by hand."""

from fastbp.testing.gradients import check_grads, numerical_jvp
from fastbp.testing.jacobians import check_jac

__all__ = ["check_grads", "check_jac", "numerical_jvp"]
