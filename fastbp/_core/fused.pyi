"""Groups of elementwise operations in a forward sweep, run together block by block."""

from typing import final

@final
class Group: ...
