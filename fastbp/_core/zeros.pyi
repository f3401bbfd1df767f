"""Which zeros of a (co)tangent are exact."""

GOLDEN: float
