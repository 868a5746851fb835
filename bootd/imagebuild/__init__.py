"""Memory images from recipes: a Debian kernel, busybox and a script, packed the same way every time."""

from bootd.imagebuild.build import BuiltImage, build
from bootd.imagebuild.errors import BadRecipe, BuildFailed

__all__ = ["BadRecipe", "BuildFailed", "BuiltImage", "build"]
