"""What every driver may answer instead of doing it: no for good, or not now."""

from typing import ClassVar

from bootd.errors import BootdError


class DriverError(BootdError):
    """Base. A worker asks *is_permanent*, never the type: True means that the same call fails again."""

    code = "driver"
    is_permanent: ClassVar[bool] = True
