"""The array API standard: the names of `fastbp.numpy`, a Variable's methods, SciPy's own code."""

import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as xp
from fastbp.errors import DTypeError, NoRuleError

from . import versions

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "array_api.md"
# Version 2025.12: names, with arguments by position, and keywords after "*".
NAMES = """
abs x; acos x; acosh x; add x1 x2; all x * axis keepdims; any x * axis keepdims;
arange start stop step * dtype device; argmax x * axis keepdims; argmin x * axis keepdims;
argsort x * axis descending stable; asarray obj * dtype device copy; asin x; asinh x;
astype x dtype * copy device; atan x; atan2 x1 x2; atanh x; bitwise_and x1 x2; bitwise_invert x;
bitwise_left_shift x1 x2; bitwise_or x1 x2; bitwise_right_shift x1 x2; bitwise_xor x1 x2;
broadcast_arrays x1 x2; broadcast_shapes s1 s2; broadcast_to x shape; can_cast from to; ceil x;
clip x min max; concat arrays * axis; conj x; copysign x1 x2; cos x; cosh x;
count_nonzero x * axis keepdims; diff x * axis n prepend append; divide x1 x2; empty shape * dtype
device; empty_like x * dtype device; equal x1 x2; exp x; expand_dims x axis; expm1 x; eye n m * k
dtype device; finfo type; flip x * axis; floor x; floor_divide x1 x2; from_dlpack x * device copy;
full shape value * dtype device; full_like x value * dtype device; greater x1 x2; greater_equal x1
x2; hypot x1 x2; iinfo type; imag x; isdtype dtype kind; isfinite x; isin x1 x2 * invert; isinf x;
isnan x; less x1 x2; less_equal x1 x2; linspace start stop num * dtype device endpoint; log x;
log10 x; log1p x; log2 x; logaddexp x1 x2; logical_and x1 x2; logical_not x; logical_or x1 x2;
logical_xor x1 x2; matmul x1 x2; matrix_transpose x; max x * axis keepdims; maximum x1 x2;
mean x * axis keepdims; meshgrid x1 x2 * indexing; min x * axis keepdims; minimum x1 x2;
moveaxis x source destination; multiply x1 x2; negative x; nextafter x1 x2; nonzero x;
not_equal x1 x2; ones shape * dtype device; ones_like x * dtype device; permute_dims x axes;
positive x; pow x1 x2; prod x * axis dtype keepdims; real x; reciprocal x; remainder x1 x2;
repeat x repeats * axis; reshape x shape * copy; result_type x1 x2; roll x shift * axis; round x;
searchsorted x1 x2 * side sorter; sign x; signbit x; sin x; sinh x;
sort x * axis descending stable; sqrt x; square x; squeeze x axis; stack arrays * axis;
std x * axis correction keepdims; subtract x1 x2; sum x * axis dtype keepdims;
take x indices * axis; take_along_axis x indices * axis; tan x; tanh x; tensordot x1 x2 * axes;
tile x repetitions; tril x * k; triu x * k; trunc x; unique_all x; unique_counts x;
unique_inverse x; unique_values x; var x * axis correction keepdims; where condition x1 x2;
zeros shape * dtype device; zeros_like x * dtype device;
linalg.cholesky x * upper; linalg.cross x1 x2 * axis; linalg.det x; linalg.diagonal x * offset;
linalg.eigh x; linalg.eigvalsh x; linalg.inv x; linalg.matmul x1 x2;
linalg.matrix_norm x * keepdims ord; linalg.matrix_power x n; linalg.matrix_rank x * rtol;
linalg.matrix_transpose x; linalg.outer x1 x2; linalg.pinv x * rtol; linalg.qr x * mode;
linalg.slogdet x; linalg.solve x1 x2; linalg.svd x * full_matrices; linalg.svdvals x;
linalg.tensordot x1 x2 * axes; linalg.trace x * offset dtype; linalg.vecdot x1 x2 * axis;
linalg.vector_norm x * axis keepdims ord; fft.fft x * n axis norm; fft.ifft x * n axis norm;
fft.fftn x * s axes norm; fft.ifftn x * s axes norm; fft.rfft x * n axis norm;
fft.irfft x * n axis norm; fft.rfftn x * s axes norm; fft.irfftn x * s axes norm;
fft.hfft x * n axis norm; fft.ihfft x * n axis norm; fft.fftfreq n * d device;
fft.rfftfreq n * d device; fft.fftshift x * axes; fft.ifftshift x * axes
"""
SINCE_NUMPY_2_1 = (
    "__array_namespace_info__; cumulative_sum x * axis dtype include_initial; unstack x * axis; "
    "cumulative_prod x * axis dtype include_initial; vecdot x1 x2 * axis"
)
VALUES = (
    "bool complex64 complex128 e float32 float64 inf int8 int16 int32 int64 nan newaxis pi uint8 "
    "uint16 uint32 uint64 __array_api_version__"
).split()


def entries():
    later = SINCE_NUMPY_2_1 if versions.has("numpy 2.1") else ""
    return [entry.split() for entry in f"{NAMES};{later}".split(";") if entry.strip()]


def found(path):
    value = xp
    for part in path.split("."):
        value = getattr(value, part)
    return value


@pytest.fixture
def x():
    return bp.variable(np.array([[0.3, 1.2, 0.7], [2.1, 0.4, 0.9]]))


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry[0])
def test_functions_of_the_standard(entry):
    name, *arguments = entry
    positional, keywords = [part.split() for part in (" ".join(arguments) + " * ").split("*")[:2]]
    function = found(name)
    ufunc = getattr(function, "ufunc", function)
    if isinstance(ufunc, np.ufunc):
        assert ufunc.nin == len(positional)
        return
    try:
        signature = inspect.signature(function)
    except ValueError:
        return  # NumPy's, built in
    signature.bind(*positional, **dict.fromkeys(keywords))


def test_values_of_the_standard():
    assert not [name for name in VALUES if not hasattr(xp, name)]
    if versions.has("numpy 2.1"):
        assert xp.__array_namespace_info__().default_device() == "cpu"


def test_the_namespace_of_a_variable(x):
    assert x.__array_namespace__() is xp
    for version in ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12"):
        assert x.__array_namespace__(api_version=version) is xp
    with pytest.raises(ValueError, match="no version"):
        x.__array_namespace__(api_version="1999.12")


def test_devices(x):
    assert x.device == "cpu"
    assert x.to_device("cpu") is x
    assert x.__dlpack_device__() == x.value.__dlpack_device__()
    with pytest.raises(ValueError, match="the only one"):
        x.to_device("gpu")
    with pytest.raises(ValueError, match="stream= is for other devices"):
        x.to_device("cpu", stream=1)


def test_from_dlpack_says_what_would_be_lost(x):
    with pytest.raises(NoRuleError, match="from_dlpack"):
        np.from_dlpack(x)


def test_no_integers_of_a_variable(x):
    with pytest.raises(DTypeError, match="int64"):
        xp.astype(x, xp.int64)


def test_order_from_the_largest(rng):
    x = rng.integers(0, 4, size=(3, 5)).astype(float)
    for axis in (0, 1, -1):
        np.testing.assert_array_equal(
            xp.sort(x, axis=axis, descending=True), -np.sort(-x, axis=axis)
        )
        places = np.argsort(-x, axis=axis, stable=True)
        np.testing.assert_array_equal(xp.argsort(x, axis=axis, descending=True), places)
        np.testing.assert_array_equal(
            xp.argsort(bp.variable(x), axis=axis, descending=True), places
        )
    x[0, 1] = x[2, 3] = np.nan
    for plain in (x, x.astype(np.float32), x + 1j * x):
        places = xp.argsort(plain, descending=True)
        assert np.isnan(xp.sort(plain, descending=True)[[0, 2], -1]).all()
        np.testing.assert_array_equal(places[[0, 2], -1], [1, 3])
        variable = bp.variable(plain)
        np.testing.assert_array_equal(xp.argsort(variable, descending=True), places)
        expected = np.take_along_axis(plain, places, axis=-1)
        np.testing.assert_array_equal(xp.sort(variable, descending=True).value, expected)
        np.testing.assert_array_equal(xp.sort(plain, descending=True), expected)
    weights = rng.normal(size=15)
    y = rng.normal(size=(3, 5))
    gradient = bp.grad(lambda y: xp.sum(weights * xp.sort(y, axis=None, descending=True)))(y)
    expected = np.empty(15)
    expected[np.argsort(-y, axis=None)] = weights
    np.testing.assert_allclose(gradient, expected.reshape(y.shape))


def test_what_is_no_variable_is_sorted_as_numpy_does():
    """Lists, integers, strings: without any Variable it is NumPy's own function."""
    for plain in ([3, 1, 2], (2.5, 0.5), np.array(["b", "a"]), [[2, 1], [0, 3]]):
        found, expected = xp.sort(plain), np.sort(plain)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(xp.argsort(plain), np.argsort(plain))
        falling = xp.sort(plain, descending=True)
        np.testing.assert_array_equal(falling, expected[..., ::-1])
        assert falling.dtype == expected.dtype
        np.testing.assert_array_equal(
            xp.argsort(plain, descending=True), np.argsort(plain)[..., ::-1]
        )
    x = bp.variable(2.0)
    np.testing.assert_array_equal(xp.sort([3.0, x, 1.0]).value, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(xp.sort([3.0, x, 1.0], descending=True).value, [3.0, 2.0, 1.0])
    np.testing.assert_array_equal(xp.argsort([3.0, x, 1.0], descending=True), [0, 1, 2])


def test_array_api_compat(x):
    home = "scipy._external" if versions.has("scipy 1.18") else "scipy._lib"
    compat = importlib.import_module(f"{home}.array_api_compat")
    assert compat.array_namespace(x) is xp
    assert compat.is_array_api_obj(x)
    assert compat.device(x) == "cpu"
    assert compat.size(x) == 6
    bp.variable(np.ones(2))  # tells array_api_compat of plain arrays beside Variables
    assert compat.array_namespace(x, np.ones(3)) is xp
    assert compat.array_namespace(np.ones(3)) is not xp


@versions.only("SciPy 1.17", "the page")
def test_scipys_code_for_the_standard():
    lines = PAGE.read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    expected = {row[0].strip("`"): row[1] for row in rows}
    assert len(expected) > 100
    run = subprocess.run(
        [sys.executable, HERE / "array_api_calls.py"],
        input="\n".join(expected),
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout) == expected
