"""What both directions of a sweep share."""

from typing_extensions import disjoint_base

@disjoint_base
class Sweep: ...
