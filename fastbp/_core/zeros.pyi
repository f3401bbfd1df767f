"""Which zeros of a (co)tangent are exact: nothing here is for Python."""
