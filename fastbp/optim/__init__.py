"""Optimizers of nested containers of arrays.

`sgd`, `adam`, `adamw`, `lbfgs`   minimise a function: parameters in, parameters and a `Result` out
`SGD`, `Adam`, `AdamW`            one step as a pure function, for training steps of one's own

A step that computes a gradient and updates parameters compiles to one plan: docs/optim.md.
"""

from fastbp.optim.descending import Result, adam, adamw, sgd
from fastbp.optim.quasi_newton import lbfgs
from fastbp.optim.steps import SGD, Adam, AdamW, Optimizer

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "Result", "adam", "adamw", "lbfgs", "sgd"]
