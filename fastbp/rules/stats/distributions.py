"""What a distribution is made from: formulas on its standard form, and what SciPy does around them.

A row is a class with static methods, formulas in NumPy's and SciPy's functions: those of the
standard form (location 0, scale 1), inside of the support. Location and scale, what holds outside
of the support, and NaN where a parameter is none, are here, once for all.
"""

import functools
import inspect

import numpy as np
from scipy import stats

from fastbp._core.graph import has_variable, passive
from fastbp.errors import NoRuleError
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.refusals import FIT

__all__ = ["Continuous", "Discrete", "Frozen", "refusing"]


OUTSIDE = {  # below the support, and above
    "pdf": (0.0, 0.0),
    "logpdf": (-np.inf, -np.inf),
    "cdf": (0.0, 1.0),
    "logcdf": (-np.inf, 0.0),
    "sf": (1.0, 0.0),
    "logsf": (0.0, -np.inf),
}


def refusing(path, what):
    """Raise for a method that takes no Variable."""
    raise NoRuleError(f"{path} takes no Variable: {what}")


class Distribution:
    """A distribution of numbers; see `scipy.stats` for names and arguments.

    Attributes
    ----------
    name : str
    shapes : tuple of str
        Names of the shape parameters.
    theirs
        SciPy's own distribution.
    """

    methods: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ("loc",)
    moments = ("mean", "var", "std", "median", "entropy", "stats")

    def __init__(self, row):
        self.row, self.name = row, row.__name__
        self.theirs = getattr(stats, self.name)
        self.shapes = tuple((self.theirs.shapes or "").replace(" ", "").split(",")) * bool(
            self.theirs.shapes
        )
        self.__name__ = self.name
        self.__module__ = "fastbp.scipy.stats"
        self.__doc__ = (
            f"`scipy.stats.{self.name}`, differentiable by arguments and parameters.\n\n"
            f"Methods with formulas: {', '.join(self._with_formulas())}; others are SciPy's own, "
            "of plain numbers."
        )
        for method in self.methods:
            setattr(self, method, self._method(method))
        for moment in self.moments:
            setattr(self, moment, self._moment(moment))

    def _with_formulas(self):
        return [m for m in (*self.methods, *self.moments) if self._formula(m) is not None]

    def _formula(self, name):
        """Return what computes a method, or None."""
        return getattr(self.row, name, None)

    def __call__(self, *args, **kwds):
        """Freeze the parameters."""
        return Frozen(self, args, kwds)

    def __getattr__(self, name):
        if name.startswith("__") or "theirs" not in vars(self):
            raise AttributeError(name)
        found = getattr(self.theirs, name)
        if not callable(found):
            return found

        @functools.wraps(found)
        def plain(*args, **kwargs):
            if has_variable((args, tuple(kwargs.values()))):
                refusing(f"scipy.stats.{self.name}.{name}", self._instead(name))
            return found(*args, **kwargs)

        return plain

    @staticmethod
    def _instead(name):
        if name == "rvs":
            return (
                "sample with plain parameters, and let the sample enter a recorded formula, as "
                "loc + scale * rvs(size=n) or ppf(rng.random(n), ...)"
            )
        if name == "fit":
            return FIT
        return "fastbp has no formula for it"

    def _bound(self, method, first, args, kwds):
        """Return the argument, shapes and parameters, as operands in double precision."""
        names = (*first, *self.shapes, *self.parameters)
        defaults = {"loc": 0.0, "scale": 1.0}
        if len(args) > len(names):
            raise TypeError(f"scipy.stats.{self.name}.{method}: too many arguments")
        given = dict(zip(names, args, strict=False))
        for key, value in kwds.items():
            if key not in names:
                raise TypeError(f"scipy.stats.{self.name}.{method}: no argument {key!r}")
            if key in given:
                raise TypeError(f"scipy.stats.{self.name}.{method}: {key!r} is given twice")
            given[key] = value
        missing = [key for key in names if key not in given and key not in defaults]
        if missing:
            raise TypeError(f"scipy.stats.{self.name}.{method}: {missing[0]!r} is missing")
        found = []
        for key in names:
            x = as_operand(
                given.get(key, defaults.get(key)), f"scipy.stats.{self.name}.{method}: {key}", True
            )
            found.append(np.astype(x, np.float64) if x.dtype != np.float64 else x)
        return found

    def _method(self, name):
        theirs = getattr(self.theirs, name)

        @functools.wraps(theirs)
        def method(*args, **kwds):
            if not has_variable((args, tuple(kwds.values()))):
                return theirs(*args, **kwds)
            if self._formula(name) is None:
                refusing(f"scipy.stats.{self.name}.{name}", "fastbp has no formula for it")
            first = (next(iter(inspect.signature(theirs).parameters)),)
            return self._evaluated(name, *self._bound(name, first, args, kwds))

        method.__module__ = "fastbp.scipy.stats"
        method.__qualname__ = f"{self.name}.{name}"
        return method

    def _moment(self, name):
        theirs = getattr(self.theirs, name)

        @functools.wraps(theirs)
        def moment(*args, **kwds):
            if not has_variable((args, tuple(kwds.values()))):
                return theirs(*args, **kwds)
            which = kwds.pop("moments", "mv") if name == "stats" else None
            operands = self._bound(name, (), args, kwds)
            if which is not None:
                if set(which) - set("mv"):
                    refusing(
                        f"scipy.stats.{self.name}.stats", "only moments='mv' have formulas here"
                    )
                found = [self._moment_of({"m": "mean", "v": "var"}[m], operands) for m in which]
                return tuple(found) if len(found) > 1 else found[0]
            return self._moment_of(name, operands)

        moment.__module__ = "fastbp.scipy.stats"
        moment.__qualname__ = f"{self.name}.{name}"
        return moment

    def _moment_of(self, name, operands):
        if name == "std":
            return np.sqrt(self._moment_of("var", operands))
        shapes, parameters = operands[: len(self.shapes)], operands[len(self.shapes) :]
        formula = self._formula(name)
        if name == "median" and formula is None:
            if self._formula("ppf") is None:
                refusing(f"scipy.stats.{self.name}.median", "fastbp has no formula for it")
            half = np.full(np.broadcast_shapes(*[x.shape for x in operands]), 0.5)
            return self._evaluated("ppf", half, *operands)
        if formula is None:
            refusing(f"scipy.stats.{self.name}.{name}", "fastbp has no formula for it")
        shape = np.broadcast_shapes(*[x.shape for x in operands])
        value = np.broadcast_to(formula(*shapes) + 0.0, shape)
        value = self._moved(name, value, *parameters)
        return _unless(self._proper(shapes, parameters), value, np.nan)

    def _proper(self, shapes, parameters):
        ok = self.row.valid(*map(passive, shapes)) if shapes else np.True_
        for scale in parameters[1:]:
            ok = ok & (passive(scale) > 0)
        return ok & ~np.isnan(passive(parameters[0]))


def _unless(ok, value, other):
    return value if np.all(ok) else np.where(ok, value, other)


def smaller_log(part, rest):
    """Return ``log(part)`` of two numbers that add up to 1, by the smaller one."""
    small = part <= 0.5
    inner = np.log1p(-np.where(small, 0.0, rest))
    return np.where(small, np.log(np.where(small, part, 1.0)), inner)


def _logarithm(part, rest):
    return lambda x, *shapes: smaller_log(part(x, *shapes), rest(x, *shapes))


def _inside(low, high):
    """Return a point between two ends."""
    first = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high - 1.0, -0.5))
    last = np.where(np.isfinite(high), high, first + 1.0)
    return 0.5 * (first + last)


class Continuous(Distribution):
    """A distribution with a density."""

    methods = ("pdf", "logpdf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf")
    parameters = ("loc", "scale")

    def _formula(self, name):
        found = super()._formula(name)
        if found is not None:
            return found
        if name in ("logcdf", "logsf"):
            part, rest = self._formula(name[3:]), self._formula("sf" if name[3] == "c" else "cdf")
            return part and _logarithm(part, rest)
        derived = {"pdf": ("logpdf", np.exp), "sf": ("cdf", lambda p: 1.0 - p)}
        if name not in derived:
            return None
        base, function = derived[name]
        inner = self._formula(base)
        return inner and (lambda x, *shapes: function(inner(x, *shapes)))

    def _evaluated(self, name, x, *operands):
        k = len(self.shapes)
        shapes, (loc, scale) = operands[:k], operands[k:]
        formula = self._formula(name)
        ok = self._proper(shapes, (loc, scale))
        if name in ("ppf", "isf"):
            return self._quantile(name, formula, x, shapes, loc, scale, ok)
        if not np.all(ok):
            scale = np.where(ok, scale, 1.0)
        y = (x - loc) / scale
        value = passive(y)
        low, high = self.row.support(*map(passive, shapes))
        nearest, farthest = self.row.reach(*map(passive, shapes))
        under, over = OUTSIDE[name]
        below = value <= (nearest if np.isfinite(under) else low)
        above = value >= (farthest if np.isfinite(over) else high)
        if name in ("pdf", "logpdf") and not self.row.vanishes:  # these hold at finite ends, too
            ends = np.isfinite(value) & ((value == low) | (value == high))
            below, above = below & ~ends, above & ~ends
        outside = below | above | ~ok
        if np.any(outside):
            y = np.where(outside, _inside(low, high), y)
            shapes = [np.where(ok, s, d) for s, d in zip(shapes, self.row.example, strict=True)]
        found = formula(y, *shapes)
        if name == "pdf":
            found = found / scale
        elif name == "logpdf":
            found = found - np.log(scale)
        if np.any(outside):
            found = np.where(below, under, np.where(above, over, found))
        bad = ~ok | np.isnan(value)
        return np.where(bad, np.nan, found) if np.any(bad) else found

    def _quantile(self, name, formula, q, shapes, loc, scale, ok):
        value = passive(q)
        inside = (value > 0.0) & (value < 1.0) & ok
        ends = self.row.support(*shapes)
        low, high = ends if name == "ppf" else ends[::-1]
        safe, ours = q, shapes
        if not np.all(inside):
            safe = np.where(inside, q, 0.5)
            ours = [np.where(ok, s, d) for s, d in zip(shapes, self.row.example, strict=True)]
        found = formula(safe, *ours)
        if not np.all(inside):
            found = np.where(value == 0.0, low, np.where(value == 1.0, high, found))
        found = found * scale + loc
        bad = ~ok | np.isnan(value) | (value < 0.0) | (value > 1.0)
        return np.where(bad, np.nan, found) if np.any(bad) else found

    def _moved(self, name, value, loc, scale):
        if name in ("mean", "median"):
            return value * scale + loc
        if name == "var":
            return value * scale * scale
        return value + np.log(scale)  # the entropy


class Discrete(Distribution):
    """A distribution of whole numbers, which have no derivative themselves."""

    methods = ("pmf", "logpmf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf")

    def _formula(self, name):
        found = super()._formula(name)
        if found is not None or name in ("ppf", "isf"):
            return found
        derived = {
            "pmf": ("logpmf", np.exp),
            "sf": ("cdf", lambda p: 1.0 - p),
            "logcdf": ("cdf", np.log),
            "logsf": ("sf", np.log),
        }
        if name not in derived or self._formula(derived[name][0]) is None:
            return None
        inner, function = self._formula(derived[name][0]), derived[name][1]
        return lambda k, *shapes: function(inner(k, *shapes))

    def _evaluated(self, name, k, *operands):
        shapes, loc = operands[:-1], operands[-1]
        formula = self._formula(name)
        ok = self._proper(shapes, (loc,))
        k = passive(k) - passive(loc)
        low, high = self.row.support(*map(passive, shapes))
        if name in ("pmf", "logpmf"):
            within = (k >= low) & (k <= high) & (k == np.floor(k))
            under = over = 0.0 if name == "pmf" else -np.inf
            above = np.zeros(np.shape(k), bool)
        else:
            k = np.floor(k)
            under, over = OUTSIDE[name]
            within, above = (k >= low) & (k < high), k >= high
        bad = ~ok | np.isnan(k)
        inside = within & ~bad
        if not np.all(inside):
            start = np.where(np.isfinite(low), low, 0.0)
            k = np.where(inside, k, start)
            shapes = [np.where(ok, s, d) for s, d in zip(shapes, self.row.example, strict=True)]
        found = formula(k, *shapes)
        if not np.all(inside):
            found = np.where(within, found, np.where(above, over, under))
        return np.where(bad, np.nan, found) if np.any(bad) else found

    @staticmethod
    def _moved(name, value, loc):
        return value + loc if name == "mean" else value


class Frozen:
    """A distribution with its parameters."""

    def __init__(self, dist, args, kwds):
        self.dist, self.args, self.kwds = dist, args, kwds

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        method = getattr(self.dist, name)
        if not callable(method):
            return method
        if name in self.dist.moments:
            return functools.partial(method, *self.args, **self.kwds)

        @functools.wraps(method)
        def frozen(*args, **kwargs):
            return method(*args, *self.args, **{**self.kwds, **kwargs})

        return frozen

    def __repr__(self):
        return f"<frozen {self.dist.name} of fastbp>"
