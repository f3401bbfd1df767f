"""The compiled core: sources are in ``src_cy/``, their interfaces (.pxd, .pyi) here."""
