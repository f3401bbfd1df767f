"""Keywords of ufuncs: kept, or refused by name, for every ufunc of scipy.special with a rule."""

import numpy as np
import pytest
import scipy.special

import fastbp as bp
from fastbp.errors import DTypeError, NoRuleError
from fastbp.rules.table import SAMPLES

from ...harness import calls_of

UFUNCS = [
    name
    for name in sorted(SAMPLES)
    if isinstance(getattr(scipy.special, name.rpartition(".")[2], None), np.ufunc)
    and name.startswith("scipy.special.")
]
KEYWORDS = {
    "where": np.array(False),
    "dtype": np.float64,
    "casting": "no",
    "order": "C",
    "subok": False,
}


def refusal(ufunc, args, keywords):
    try:
        ufunc(*args, **keywords)
    except (NoRuleError, DTypeError) as error:
        return error
    return None


@pytest.mark.parametrize("name", UFUNCS)
def test_keywords(name):
    assert len(UFUNCS) > 20
    ufunc = getattr(scipy.special, name.rpartition(".")[2])
    call = calls_of(name)[0]
    args, _ = call.arguments([bp.variable(x) for x in call.arrays])
    for key, value in KEYWORDS.items():
        error = refusal(ufunc, args, {key: value})
        assert error is None or name in str(error)
    plain = call.arguments(list(call.arrays))[0]
    found, wanted = ufunc(*args, where=True), ufunc(*plain)
    pairs = zip(found, wanted, strict=True) if isinstance(wanted, tuple) else [(found, wanted)]
    for a, b in pairs:
        np.testing.assert_allclose(a.value, b, rtol=1e-12)
