"""What both directions of a sweep share."""

from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class Sweep: ...

def sum_of(x: Any, y: Any) -> Any: ...
