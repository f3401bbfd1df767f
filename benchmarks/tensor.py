"""Explicit derivative tensors of a matrix product: contraction without the zeros, and memory."""

from __future__ import annotations

from functools import partial

import numpy as np

import fastbp as bp

from . import digits
from .checking import CheckError, compare
from .registry import Bench, Target, at_most, bench, faster

NUMPY = "NumPy G @ B.T"
CSC = "SciPy T.T @ g"
CSR = "SciPy CSR of T.T"
TENSORDOT = "np.tensordot"


def operands(n: int) -> dict[str, np.ndarray]:
    """Return two square matrices and a cotangent of their product."""
    rng = np.random.default_rng(n)
    return {name: rng.standard_normal((n, n)) for name in ("g", "a", "b")}


def by_definition(g, b):
    """Contract ``dC/dA`` with `g`, from the sums."""
    return np.einsum("ij,lj->il", g, b)


class Contraction(Bench):
    """What the contractions of ``dC/dA`` with ``dL/dC`` share."""

    storage = "structured"

    def setup(self, n):
        self.inputs = operands(n)
        self.tensor = bp.tensor.matmul_derivative(
            self.inputs["a"], self.inputs["b"], storage=self.storage
        )
        # No frame of Python's around the call: at n = 32 it would be a part of the cost.
        self.run = partial(self.tensor.contract, self.inputs["g"])  # type: ignore[method-assign]

    def run(self):
        return self.tensor.contract(self.inputs["g"])

    def check(self):
        reference = by_definition(self.inputs["g"], self.inputs["b"])
        return compare(self.run(), reference, 1e-12, f"{self.storage} contraction")


@bench("tensor")
class TensorStructured(Contraction):
    """dL/dA from the structured dC/dA of C = A @ B, against the direct rule in NumPy."""

    params = {"n": (32, 64, 256, 1024)}
    quick = {"n": (32, 64)}

    def against(self):
        return {NUMPY: lambda g=self.inputs["g"], b=self.inputs["b"]: g @ b.T}

    @classmethod
    def targets(cls, n) -> dict[str, Target]:
        return {NUMPY: at_most(1.2)}


@bench("tensor")
class TensorSparse(Contraction):
    """dL/dA from all nonzeros of dC/dA, against SciPy's CSR of the flattened tensor."""

    params = {"n": (32, 64, 256)}
    quick = {"n": (32,)}
    storage = "sparse"

    def against(self):
        matrix = self.tensor.to_scipy()
        size = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
        if self.tensor.nbytes >= size:
            raise CheckError(f"the tensor takes {self.tensor.nbytes} bytes, CSR {size}")
        g, columns, rows = self.inputs["g"].ravel(), matrix.T, matrix.T.tocsr()
        return {CSC: lambda: columns @ g, CSR: lambda: rows @ g}

    @classmethod
    def targets(cls, n) -> dict[str, Target]:
        return dict.fromkeys((CSC, CSR), faster(1.5 if n >= 256 else 2))


@bench("tensor")
class TensorSparseOfColumns(Bench):
    """The same for dC/dB, whose blocks appear when axes are transposed."""

    params = {"n": (32, 64)}
    quick = {"n": (32,)}

    def setup(self, n):
        self.inputs = operands(n)
        a, b = self.inputs["a"], self.inputs["b"]
        self.tensor = bp.tensor.matmul_derivative(a, b, wrt=1, storage="sparse")

    def run(self):
        return self.tensor.contract(self.inputs["g"])

    def check(self):
        reference = np.einsum("ij,il->lj", self.inputs["g"], self.inputs["a"])
        return compare(self.run(), reference, 1e-12, "sparse contraction")

    def against(self):
        matrix = self.tensor.to_scipy()
        g, columns, rows = self.inputs["g"].ravel(), matrix.T, matrix.T.tocsr()
        return {CSC: lambda: columns @ g, CSR: lambda: rows @ g}

    @classmethod
    def targets(cls, n) -> dict[str, Target]:
        return dict.fromkeys((CSC, CSR), faster(2))


@bench("tensor")
class TensorSparseOrDense(Contraction):
    """dL/dA from all nonzeros of dC/dA, against NumPy on all elements."""

    params = {"n": (32,)}
    storage = "sparse"

    def against(self):
        full = self.tensor.to_dense()
        return {TENSORDOT: lambda g=self.inputs["g"]: np.tensordot(g, full, 2)}

    @classmethod
    def targets(cls, n) -> dict[str, Target]:
        return {TENSORDOT: faster(100)}


@bench("tensor")
class TensorBatch(Contraction):
    """Thirty-two cotangents at once, from all nonzeros, against SciPy's CSR."""

    params = {"n": (32, 64)}
    quick = {"n": (32,)}
    storage = "sparse"

    def setup(self, n):
        super().setup(n)
        self.inputs["g"] = np.random.default_rng(n).standard_normal((32, n, n))
        self.run = partial(self.tensor.contract, self.inputs["g"])  # type: ignore[method-assign]

    def check(self):
        reference = np.einsum("kij,lj->kil", self.inputs["g"], self.inputs["b"])
        return compare(self.run(), reference, 1e-12, "contraction of many")

    def against(self):
        matrix = self.tensor.to_scipy()
        g = np.ascontiguousarray(self.inputs["g"].reshape(32, -1).T)
        columns, rows = matrix.T, matrix.T.tocsr()
        return {CSC: lambda: columns @ g, CSR: lambda: rows @ g}


@bench("tensor")
class TensorMemory(Bench):
    """Rise of memory while dC/dA is made and contracted; n^4 elements would take 550 GB."""

    params = {"n": (512,)}
    threaded = False
    unit = "bytes"

    def setup(self, n):
        self.inputs = operands(n)

    def run(self):
        tensor = bp.tensor.matmul_derivative(self.inputs["a"], self.inputs["b"])
        return tensor.contract(self.inputs["g"])

    def check(self):
        a, b = self.inputs["a"], self.inputs["b"]
        try:
            bp.tensor.matmul_derivative(a, b, storage="dense")
        except MemoryError:
            return compare(self.run(), by_definition(self.inputs["g"], b), 1e-12, "contraction")
        raise CheckError("a dense tensor of 512^4 elements was not refused")

    def against(self):
        return {NUMPY: lambda g=self.inputs["g"], b=self.inputs["b"]: g @ b.T}


@bench("tensor")
class TensorDigits(Bench):
    """dL/dW of the digits' dense layer X @ W from the structured dC/dW, and other ways."""

    params = {"images": (48,)}
    threaded = False

    def setup(self, images):
        x = digits.load().split(seed=1).train_x[:images]
        w = digits.init(seed=1)["W0"][:, :10]
        scores = np.tanh(x @ w)
        self.inputs = {"x": x, "w": w, "g": (1 - scores**2) / scores.size}
        self.tensors = {
            storage: bp.tensor.matmul_derivative(x, w, wrt=1, storage=storage)
            for storage in ("structured", "sparse", "dense")
        }

    def run(self):
        return self.tensors["structured"].contract(self.inputs["g"])

    def check(self):
        x, w = self.inputs["x"], self.inputs["w"]
        (direct,) = bp.vjp(lambda w: x @ w, w)[1](self.inputs["g"])
        errors = [
            compare(tensor.contract(self.inputs["g"]), direct, 1e-12, f"{storage} contraction")
            for storage, tensor in self.tensors.items()
        ]
        return max(errors)

    def against(self):
        x, g = self.inputs["x"], self.inputs["g"]
        found = {"X.T @ g in NumPy, no tensor": lambda: x.T @ g}
        for storage in ("sparse", "dense"):
            tensor = self.tensors[storage]
            found[f"{storage}, {tensor.nbytes} bytes"] = partial(tensor.contract, g)
        return found
