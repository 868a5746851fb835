"""Where the files that travel with bootd are: templates and image recipes."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def share(folder: str) -> Path:
    """Return the shipped *folder* (``templates`` or ``images``).

    In a wheel it lies inside the package; in a source checkout at the top level.
    """
    installed = _PACKAGE / "_share" / folder
    return installed if installed.is_dir() else _PACKAGE.parent / folder
