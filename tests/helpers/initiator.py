"""A real iSCSI initiator in this process: libiscsi, the library of iscsi-ls and iscsi-inq."""

import ctypes
from types import TracebackType

import pytest

_NORMAL = 2  # enum iscsi_session_type: not discovery
_BLOCK = 512  # octets


class LoginRefused(Exception):
    """The target said no, in libiscsi's words."""


class _Span(ctypes.Structure):
    """struct scsi_iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libiscsi.so.7")
    except OSError:
        pytest.fail("libiscsi is not installed (package libiscsi-bin): make test-packages")
    library.iscsi_create_context.restype = ctypes.c_void_p
    library.iscsi_get_error.restype = ctypes.c_char_p
    library.iscsi_read10_iov_sync.restype = ctypes.c_void_p
    library.iscsi_write10_sync.restype = ctypes.c_void_p
    return library


class Initiator:
    """Logged in to LUN *lun* of *target* from its making until `log_out`, or the block's end."""

    def __init__(
        self,
        name: str,
        portal: str,
        target: str,
        lun: int,
        user: str = "",
        secret: str = "",
        alias: str = "",
    ) -> None:
        self._iscsi = _library()
        self._lun = lun
        self._context = ctypes.c_void_p(self._iscsi.iscsi_create_context(name.encode()))
        self._iscsi.iscsi_set_targetname(self._context, target.encode())
        self._iscsi.iscsi_set_session_type(self._context, _NORMAL)
        self._iscsi.iscsi_set_noautoreconnect(self._context, 1)
        self._iscsi.iscsi_set_timeout(self._context, 60)
        if alias:
            self._iscsi.iscsi_set_alias(self._context, alias.encode())
        if user:
            self._iscsi.iscsi_set_initiator_username_pwd(self._context, user.encode(), secret.encode())
        if self._iscsi.iscsi_full_connect_sync(self._context, portal.encode(), lun) != 0:
            reason = self._reason()
            self._destroy()
            raise LoginRefused(reason)

    def read(self, block: int, count: int = 1) -> bytes:
        room = ctypes.create_string_buffer(count * _BLOCK)
        span = _Span(ctypes.cast(room, ctypes.c_void_p), len(room))
        order = (ctypes.c_uint32(block), ctypes.c_uint32(len(room)), _BLOCK, 0, 0, 0, 0, 0)
        task = self._iscsi.iscsi_read10_iov_sync(self._context, self._lun, *order, ctypes.byref(span), 1)
        self._check(task)
        return room.raw

    def write(self, block: int, octets: bytes) -> None:
        order = (ctypes.c_uint32(block), octets, ctypes.c_uint32(len(octets)), _BLOCK, 0, 0, 0, 0, 0)
        self._check(self._iscsi.iscsi_write10_sync(self._context, self._lun, *order))

    def log_out(self) -> None:
        if self._context:
            self._iscsi.iscsi_logout_sync(self._context)  # fails where the target ended the session first
            self._destroy()

    def __enter__(self) -> "Initiator":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.log_out()

    def _check(self, task: int | None) -> None:
        """Raise `OSError` unless the SCSI status, the task's first word, is GOOD."""
        if not task:
            raise OSError(self._reason())
        status = ctypes.c_int.from_address(task).value
        self._iscsi.scsi_free_scsi_task(ctypes.c_void_p(task))
        if status != 0:
            raise OSError(f"SCSI status {status}: {self._reason()}")

    def _reason(self) -> str:
        said: bytes = self._iscsi.iscsi_get_error(self._context)
        return said.decode(errors="replace")

    def _destroy(self) -> None:
        self._iscsi.iscsi_destroy_context(self._context)
        self._context = ctypes.c_void_p()
