"""Which zeros of a (co)tangent are exact: used by the sweeps only."""
