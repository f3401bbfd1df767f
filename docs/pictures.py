"""Pictures of the gallery: examples draw into a file; the figure that is open then is shown."""

import tempfile
from pathlib import Path

FOLDER = tempfile.TemporaryDirectory()


def arguments(gallery, script):
    """Return what an example is called with."""
    return [str(Path(FOLDER.name) / "picture.png")]
