"""Lines of Python with NumPy, as people write them: the tables of `test_idioms`.

A line is statements, and what is differentiated by x last. Behind an arrow stands another one to
write instead.
"""

# ---- works everywhere

WORKS = """
x * 2 + 1
2 ** x
x ** -0.5
x ** np.arange(4)
-x / (1 + x**2)
abs(x - 1)
x * [1.0, 2.0, 3.0, 4.0]
[1.0, 2.0, 3.0, 4.0] * x
x + (1, 2, 3, 4)
x * np.int64(3) + np.float32(2.0)
np.arange(4) * x[0]
x % 1 + divmod(x, 1)[1]
pow(x, 2)
(x > 1) * x

x[-1] * x
x[::-1] * c
x[1:] - x[:-1]
x[[0, 2, 2]]
x[x > 1] ** 2
x[np.argsort(x)] * c
x[np.argmax(x)] * x
x[None, :] * x[:, np.newaxis]
x[..., None] + c
x.flat[1] * x
np.outer(x, x)[np.triu_indices(4)]
np.outer(x, x)[np.ix_([0, 1], [1, 2])]

a, b, *rest = x; a * b + rest[0]
(a, b), (d, e) = x.reshape(2, 2); a * e - b * d
sum(x)
sum(v**2 for v in x)
sum([x[0], x[1] * 2])
sum(i * v for i, v in enumerate(x))
sum(a * b for a, b in zip(x, c))
max(x) * x
sorted(x)[0] * x
np.stack([v * x for v in x])
np.stack([row @ x for row in A])
list(x)[0] * x
x.size * len(x) * x.shape[0] * x.ndim * x

x.sum() / len(x)
x.mean() * x.std() + np.var(x, ddof=1)
np.sum(x[:, None] * A, axis=0, keepdims=True)
np.sum(x, where=x > 1)
np.average(x, weights=c + 2)
x.max() - x.min() + np.ptp(x) + x.prod()
np.add.reduce(x * c) + np.maximum.reduce(x)
np.multiply.outer(x, x)
np.cumsum(x) ** 2 + x.cumprod()
np.diff(x) ** 2
np.trapezoid(x, dx=0.1)
np.nansum(x)

A @ x
x @ [1, 2, 3, 4]
x.T @ A @ x
np.dot(A, x) + np.matmul(A, x)
x.dot(A).dot(x)
np.inner(x, c) * np.vdot(x, x)
np.dot([1.0, 2.0, 3.0, 4.0], x)
np.outer(x, c)
np.kron(x, c)
np.cross(x[:3], [1.0, 2.0, 3.0])
np.tensordot(x, A, axes=1)
np.einsum("i,ij,j->", x, A, x)
np.trace(np.outer(x, x) @ A)
np.linalg.norm(x)
np.linalg.solve(A, x)
np.linalg.inv(A * x) @ c
np.linalg.det(A * x)
np.linalg.cholesky(A @ A.T + np.diag(x))

np.where(x > 1, x**2, np.sin(x))
np.clip(x, 0.5, 1.5)
np.maximum(x, 1.0)
np.select([x > 1, x <= 1], [x, x**2])
np.hypot(x, c) + np.arctan2(x, c)
np.nan_to_num(x) * np.sign(x)
x.reshape(2, 2) @ x.reshape(2, -1)
x.ravel() * x.flatten()
x.astype(float) * x
np.atleast_2d(x).T @ np.atleast_2d(x)
np.squeeze(x[None]) * np.expand_dims(x, 0)
np.broadcast_to(x, (2, 4)) * c
np.concatenate([x, [1.0]]) ** 2
np.concatenate((x[1:], x[:1]))
np.append(x, x[0] ** 2)
np.insert(x, 1, x[0] * 2)
np.delete(x, 1)
np.bincount([0, 1, 1, 2], weights=x)
np.pad(x, 1)
np.pad(x, (1, 2), mode="edge")
np.roll(x, 1) * x
np.flip(x) * c
np.repeat(x, 2)
np.tile(x, 2) * np.tile(x[0], 8)
np.split(x, 2)[0] ** 2
np.take(x, [0, 1])
np.vstack([x, x**2])
np.divide(x, c, out=np.zeros(4) + 0 * x, where=c != 1.5)
np.hstack([x[0], x])
np.column_stack([x, x**2])
np.block([[x[None, :], x[None, :] ** 2]])
np.block([[x[0], x[1]], [0.0, 1.0]])
np.diag(x) @ A
np.diag(np.outer(x, c))
np.triu(np.outer(x, x)) - np.tril(np.outer(x, c), -1)
np.linspace(0, 1, 4) * x
np.linspace(x[0], x[1], 5)
np.zeros(4) + np.ones(4) * x[0] + np.eye(4) * x
np.full_like(x, x[0])
np.ones_like(x) * x[0]

y = x.copy(); y[0] = 2 * x[1]; y
y = np.copy(x); y[0] = 0.0; y * y
y = x * 1; y += c; y *= x; y
y = x ** 2; y[1:] -= x[:-1]; y
y = x + 0; y[1], y[2] = y[2], y[1]; y * c
y = c * x[0]; y[1] = x[1] ** 2; y
for i in range(3): x = np.sin(x) + i; x
out = np.array([]); out = np.append(out, x[0]); np.append(out, x[1] ** 2)

p = {"w": x[:2], "b": x[2]}; p["w"] * p["b"]
p = [x[0], x[1]]; p[0] * p[1]
p = Point(x[0], x[1]); p.r * np.cos(p.phi)
p = Pair(x[:2], x[2:]); p.first @ p.second
p = SimpleNamespace(w=x[:3], b=x[3]); p.w * p.b

x if x[0] > 1 else x**2
x if x[0] < x[1] < 2.0 else x**2
x if np.any(x > 2) and np.ndim(x) == 1 else x**2
x if x[0] in (0.0, 1.0) else x**2
x * (f"{x[0]}" != "")
x * (f"{x}" != "")
x * (f"{x[0]:.3f} {x[1]:8.2e}" != "")
x * ("%.3f" % x[0] != "")
x * round(x[1], 0)
special.expit(x) + special.erf(x)
np.random.default_rng(0).normal(size=4) * x
np.sort(x) * c
np.poly1d([1.0, 2.0])(x)
np.median(x)
np.quantile(x, 0.4)
np.percentile(x, 100)
np.gradient(x, 0.1)
np.polyval([1.0, 2.0, 3.0], x)
np.polyval(x, 0.5)
np.convolve(x, [1.0, 2.0, -1.0])
np.interp(x, [0.0, 1.0, 2.0], [0.0, 3.0, 4.0])
np.interp(1.2, [0.0, 1.0, 2.0, 3.0], x)
np.cov(x)
np.cov(x[:, None] * A)
np.corrcoef(x[:, None] * A + x)
np.meshgrid(x, c)[0] * x
np.vander(x, 3)
np.unique(x) ** 2
np.piecewise(x, [x > 1, x <= 1], [np.sin, np.cos])
np.apply_along_axis(np.sum, 1, x * A)
special.gammaln(x)
"""

# ---- arrays that are made from recorded values, or filled with them

# Behind an arrow: what the message of plain NumPy has one write. Without one, that is
# ``fastbp.numpy`` in place of ``np`` for the function that makes the array.
MADE = """
np.array([x[0], 1.0])
np.array([x[0] * x[1] - x[2], 2.0, x[3]])
np.array([[np.cos(x[0]), -np.sin(x[0])], [np.sin(x[0]), np.cos(x[0])]]) @ x[:2]
np.array([x, x**2])
np.array((x[0], x[1]), dtype=float) ** 2
np.array([v**2 for v in x])
np.array([row @ x for row in A])
np.array(list(map(lambda v: v**2, x)))
np.array(x[0]) * x
np.array(x, dtype=float) ** 2
np.asarray(x) * 2
np.asarray([x[0], x[1]], dtype=float) ** 2
np.asanyarray(x) ** 2
np.ascontiguousarray(x) ** 2
np.sum([x[0], x[1] ** 2])  ->  numpy.sum(fastbp.numpy.array([x[0], x[1] ** 2]))
np.mean([v**2 for v in x])  ->  numpy.mean(fastbp.numpy.array([v**2 for v in x]))
np.max([x[0], x[1]])  ->  numpy.max(fastbp.numpy.array([x[0], x[1]]))
np.prod(list(x))  ->  numpy.prod(fastbp.numpy.array(list(x)))
np.dot([x[0], x[1]], [1.0, 2.0])  ->  np.dot(fastbp.numpy.array([x[0], x[1]]), [1.0, 2.0])
np.linalg.norm([x[0], x[1]])  ->  numpy.linalg.norm(fastbp.numpy.array([x[0], x[1]]))
np.diag([x[0], 1.0])  ->  numpy.diag(fastbp.numpy.array([x[0], 1.0]))
np.exp([x[0], x[1]])  ->  np.exp(fastbp.numpy.array([x[0], x[1]]))
np.mean([x, x**2], axis=0)  ->  numpy.mean(fastbp.numpy.array([x, x**2]), axis=0)
np.vstack(([x[0], 1.0], [2.0, x[1]]))  ->  np.vstack(fastbp.numpy.array([[x[0], 1.0], [2.0, x[1]]]))
np.stack([[x[0], x[1]], [x[2], 1.0]])  ->  np.stack(fastbp.numpy.array([[x[0], x[1]], [x[2], 1.0]]))
np.r_[x[0], x[1] ** 2, 3.0]
np.r_[0.0, np.cumsum(x)]
np.c_[x, x**2]
np.full(3, x[0])
np.full((2, 2), x[0]) @ x[:2]
out = [0.0] * 4; out[1] = x[1] ** 2; np.array(out)
out = []; out.append(x[0]); out.append(x[1] ** 2); np.array(out)
out = np.zeros(4); out[0] = x[0] * x[1]; out
out = np.zeros(4); out[1:3] = x[:2] ** 2; out
out = np.zeros(4); out[:] = x**2; out
out = np.zeros(4); out[2] += x[0] * x[1]; out
out = np.zeros(len(x)); out += x; out  ->  out = np.zeros(len(x)); out = out + x; out
out = np.zeros(x.shape); out[x > 1] = x[x > 1] ** 2; out
out = np.empty((2, 4)); out[0] = x; out[1, :] = out[0, :] ** 2; out
out = np.zeros((4, 4)); out[range(4), range(4)] = x; out
out = np.zeros((4, 4)); out[np.triu_indices(4, 2)] = x[:3]; out
out = np.ones(4, dtype=float); out[2] *= x[0]; out
out = np.full(4, 2.0); out[:2] = x[:2]; out
out = np.array([0.0, 1.0, 2.0]); out[0] = x[0]; out
out = np.array(c); out[0] = x[0]; out
out = np.copy(c); out[0] = x[0]; out
R = np.eye(3); R[0, 0] = np.cos(x[0]); R[0, 1] = -np.sin(x[0]); R
out = np.zeros(5); out[0] = x[0]; [out.__setitem__(i + 1, out[i] * x[1]) for i in range(4)]; out
"""

# Numbers. `bp.unmodified` takes the functions of `math` too.
MATH = """
math.exp(x[0]) * x  ->  numpy.exp(x[0]) * x
math.sqrt(x[0]) * math.pi + math.log(x[1], 2)  ->  numpy.sqrt(x[0]) * math.pi + numpy.log2(x[1])
math.atan2(x[0], x[1]) + math.pow(x[2], 3)  ->  numpy.arctan2(x[0], x[1]) + numpy.power(x[2], 3)
"""
# Functions of SciPy's: `bp.unmodified` takes those of `fastbp.scipy`.
SCIPY = """
signal.lfilter([1.0, 2.0, -1.0], 1.0, x)  ->  fastbp.scipy.signal.lfilter([1.0, 2.0, -1.0], 1.0, x)
signal.detrend(x) * x  ->  fastbp.scipy.signal.detrend(x) * x
"""
NUMBERS = [
    ("float(x[0]) * x", "and no float() around it", "x[0] * x"),
    ("float(x.sum())", "and no float() around it", "x.sum()"),
    ("int(x[1]) * x", "numpy.trunc(x)", "numpy.trunc(x[1]) * x"),
    ("x[int(x[1])] * x", "int(x.value)", "x[int(x[1].value)] * x"),
]

# What the program has from elsewhere stays plain, whoever runs it.
PLAIN = """
out = c.copy(); out[0] = x[0]; out  ->  out = fastbp.variable(c.copy()); out[0] = x[0]; out
out = c * 1; out[0] = x[0]; out  ->  out = fastbp.variable(c * 1); out[0] = x[0]; out
out = A.copy(); out[0, 0] += x[0]; out  ->  out = fastbp.variable(A.copy()); out[0, 0] += x[0]; out
np.exp(x, out=c * 1, where=x > 1)  ->  np.exp(x, out=fastbp.variable(c * 1), where=x > 1)
out = A + 0; out[:, 0] *= x; out  ->  out = fastbp.variable(A + 0); out[:, 0] *= x; out
"""

# With plain NumPy too: what is made like a recorded value takes recorded values.
LIKE = """
out = np.zeros_like(x); out[1:] = x[:-1]; out
out = np.empty_like(x); out[:] = x * 2; out
out = np.zeros(4, like=x); out[0] = x[0] ** 2; out
np.divide(1.0, x, out=np.zeros_like(x), where=x > 1)
"""

# Functions of SciPy's that fastbp.scipy has: `bp.unmodified` finds them by any name.
SCIPY = """
linalg.solve(A, x)  ->  fastbp.scipy.linalg.solve(A, x)
linalg.solve_triangular(A, x, lower=True)  ->  fastbp.scipy.linalg.solve_triangular(A, x, lower=True)
linalg.expm(A * x)  ->  fastbp.scipy.linalg.expm(A * x)
linalg.toeplitz(x) @ linalg.lu(A * x)[2]  ->  fastbp.scipy.linalg.toeplitz(x) @ fastbp.scipy.linalg.lu(A * x)[2]
"""  # noqa: E501

# ---- refused everywhere: the line, the line in the message, and what its names stand for

REFUSED = [
    ("A.dot(x)", "numpy.dot(a, x)", {"a": "A"}),
    ("np.logaddexp.reduce(x)", "fastbp.numpy.logsumexp(x, axis=axis)", {"axis": "0"}),
    (
        "sum(v**2 for _, v in np.ndenumerate(x))",
        "((i, x[i]) for i in numpy.ndindex(x.shape))",
        {},
        "sum(v**2 for _, v in y)",
    ),
]

# ---- with a frame of pandas among the constants

PANDAS = """
df["a"].values * x
df.to_numpy() @ x[:2]
df["a"].mean() * x
df["a"] * x
x * df["a"]
x - df["b"]
2.0 / x + df["b"] ** 2
df["a"] @ x
df @ x[:2]
x @ df
np.dot(df, x[:2])
np.exp(x) * df["a"]
(df["b"] * np.log(x)).sum()
np.sum(df["b"] * np.log(x))
np.where(df["a"] > 2, x, 0.0)
x[df["a"] > 2] ** 2
(x * df["a"])[df["b"] == 0]
for _, row in df.iterrows(): x = x * row["a"]; x
sum(v * a for v, a in zip(x, df["a"]))
"""
