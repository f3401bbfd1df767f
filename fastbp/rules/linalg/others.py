"""`scipy.linalg`: what sees the values of Variables, and what is refused with a reason."""

from fastbp.rules.counterparts import constant, refused

__all__ = ["OTHERS"]

_PLACES = "places, order, counts"
_BASIS = "a basis is no function of the matrix, its projector is: write "
_NUMBERS = (
    "it calls a function with numbers inside of SciPy: write expm, logm, sqrtm and the like of "
    "fastbp.scipy.linalg, or numpy.linalg.eigh"
)
_PENCIL = (
    "the form of a pencil is no function of it: write "
    "fastbp.scipy.linalg.schur(fastbp.scipy.linalg.solve(B, A)) where B is regular"
)

OTHERS = {
    name: constant(f"scipy.linalg.{name}", _PLACES)
    for name in ("bandwidth", "ishermitian", "issymmetric")
}
OTHERS |= {
    name: refused(f"scipy.linalg.{name}", why)
    for name, why in {
        "expm_cond": "it is an estimate by the norm of a derivative, and has none here",
        "funm": _NUMBERS,
        "null_space": _BASIS + "I - fastbp.scipy.linalg.pinv(A) @ A",
        "ordqz": _PENCIL,
        "orth": _BASIS + "A @ fastbp.scipy.linalg.pinv(A)",
        "qz": _PENCIL,
    }.items()
}
