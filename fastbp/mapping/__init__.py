"""`vmap`: a function of one member, recorded once, and applied to a whole batch.

recording makes the record of one member, replaying applies it to many, member by member where a
function of values has no other way (calls), axes says where members lie in arguments and results.
"""

from fastbp.mapping.mapped import vmap

__all__ = ["vmap"]
