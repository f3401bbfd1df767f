"""Compiled functions: recorded once, replayed without Python.

A record becomes instructions (`lowering`, `sums`), which read and write values (`values`,
`steps`), are laid out in memory (`layout`) and run by a machine (`fastbp._core.machine`);
`compiled` has what is called, `surroundings` and `reach` what a function reads beside its
arguments. `files` writes plans down, `loaded` calls what was read.
"""

from fastbp.compiling.compiled import Compiled, compile
from fastbp.compiling.loaded import Loaded, load

__all__ = ["Compiled", "Loaded", "compile", "load"]
