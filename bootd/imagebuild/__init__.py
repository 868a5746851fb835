"""Memory images from recipes: a Debian kernel, busybox and a script, packed the same way every time."""

from bootd.imagebuild.errors import BadRecipe, BuildFailed
from bootd.imagebuild.image import BuiltImage, build

__all__ = ["BadRecipe", "BuildFailed", "BuiltImage", "build"]
