"""The largest array that a derivative may take: refused by its size, before memory is taken."""

from __future__ import annotations

__all__ = ["MEMORY_LIMIT", "check_memory", "in_units"]

#: Largest derivative that is made unless a call gives its own limit, in bytes: 1 GiB.
MEMORY_LIMIT = 1 << 30


def check_memory(name: str, what: str, size: int, limit: int | None, instead: str) -> None:
    """Raise MemoryError, with what to do `instead`, for so many bytes above a limit.

    Examples
    --------
    >>> import fastbp as bp
    >>> bp.limits.check_memory("f", "it", 8 * 10**10, None, "make it sparse")
    Traceback (most recent call last):
        ...
    MemoryError: f: it takes 80 GB (80000000000 bytes), above the limit of 1.074 GB; make it sparse
    """
    most = MEMORY_LIMIT if limit is None else limit
    if size > most:
        raise MemoryError(
            f"{name}: {what} takes {in_units(size)} ({size} bytes), above the limit of "
            f"{in_units(most)}; {instead}"
        )


def in_units(size: float) -> str:
    """Return a number of bytes in decimal units.

    Examples
    --------
    >>> import fastbp as bp
    >>> bp.limits.in_units(134217728)
    '134.2 MB'
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.4g} {unit}"
        size /= 1000
    return f"{size:.4g} TB"
