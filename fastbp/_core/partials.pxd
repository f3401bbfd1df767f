"""What the rules of an operation read, as a bit mask: bit j for operand j, one for the output."""

cdef enum:
    SAVES_ANS = 0x40000000
