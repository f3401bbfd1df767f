"""The compiled core. Sources are in ``src_cy/``; this folder holds their interfaces (.pxd, .pyi)."""
