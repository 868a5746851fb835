"""What can go wrong with the lab."""

from bootd.errors import BootdError


class LabError(BootdError):
    """The lab cannot do what was asked; the message says why and the way out."""

    code = "lab"


class NotArrived(LabError):
    """A machine did not get to where it was expected in time; carries what its console said last."""

    code = "lab-not-arrived"

    def __init__(self, node: str, expected: str, seconds: float, tail: str) -> None:
        super().__init__(
            f"{node}: {expected!r} did not appear on its console within {seconds:.0f} s; "
            f"the console ends with:\n{tail or '(nothing)'}"
        )
        self.node, self.expected, self.tail = node, expected, tail
