"""What can go wrong while an image is built; each message ends with the way out."""

from bootd.errors import BadText, BootdError


class BuildFailed(BootdError):
    """Something the recipe needs is not there."""

    code = "image-build-failed"

    def __init__(self, missing: str, way_out: str) -> None:
        super().__init__(f"{missing}; {way_out}")
        self.missing, self.way_out = missing, way_out


class BadRecipe(BadText):
    """A recipe.toml with mistakes; all of them are named."""

    code = "bad-recipe"
