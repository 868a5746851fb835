"""What a site says about the deeds of workers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds, rates in bit/s."""

    lun_backend: str = ""  # name of the LUN driver; "" where the site has none
    transport: str = ""  # name of the transport; "" where the site has none
    imager: str = "imager"  # the memory image that writes slots
    rate: int = 100_000_000  # all multicast sessions together
    window: int = 8  # machines that are switched together
    window_pause_s: float = 10.0  # between one window and the next
    hands: int = 8  # machines of a window that are switched at the same moment, each by a thread
    up_s: float = 300.0  # a machine that has not said that it runs by then did not come up
    join_s: float = 180.0  # a machine that has not joined its session by then is left out
    stage_ahead_s: float = 0.0  # a LUN's image is on its way so long before the start, if not longer
    base_iqn: str = "iqn.2026-01.net.bootd"  # what initiator names begin with
