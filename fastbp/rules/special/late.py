"""All rows of `scipy.special`, which `fastbp.rules` does not import: SciPy takes its time."""

import importlib

from fastbp.rules.table import SPECIAL

for _name in SPECIAL:
    importlib.import_module(_name)
