"""What can be wrong with an image, and with the place that images are in."""

from bootd.errors import BadText, BootdError


class BadImage(BadText):
    """A folder or file is no image that can be used: half copied, of another kind, or not supported."""

    code = "bad-image"


class BadStream(BootdError):
    """What a file begins or ends with is not what its name says."""

    code = "bad-stream"


class DarkStoreAway(BootdError):
    """The dark store cannot be reached just now; nothing in it is lost."""

    code = "dark-store-away"
