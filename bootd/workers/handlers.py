"""Which handler does which kind of job."""

from collections.abc import Mapping
from types import MappingProxyType

from bootd.model import JobKind
from bootd.workers.capture import Capture
from bootd.workers.end import End
from bootd.workers.stage_lun import StageLun
from bootd.workers.start import Start
from bootd.workers.work import Handler
from bootd.workers.write_slot import WriteSlot

HANDLERS: Mapping[JobKind, Handler] = MappingProxyType(
    {
        JobKind.STAGE_LUN: StageLun(),
        JobKind.WRITE_SLOT: WriteSlot(),
        JobKind.START: Start(),
        JobKind.END: End(),
        JobKind.CAPTURE: Capture(),
    }
)
