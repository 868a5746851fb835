"""A folder that does what configfs of LIO does, as far as bootd's orders go: the kernel is played.

Written after Linux's documentation of the target and what rtslib-fb writes and reads; the kernel of
the machine it was written on has no LIO. It fills folders that are made, refuses orders that come too
early or too late, and lets machines in as the portal group's attributes and lists say.
"""

import errno
import os
import re
import shutil
from pathlib import Path

from bootd.drivers.lun.configfs import Configfs
from bootd.drivers.lun.lio_plan import Where

NOBODY = "No active iSCSI Session for Initiator Endpoint"
SESSION = """\
InitiatorName: {initiator}
InitiatorAlias: node
LIO Session ID: 1   ISID: 0x00 02 3d 00 00 00  TSIH: 1  SessionType: Normal
Session State: TARG_SESS_STATE_LOGGED_IN
---------------------[iSCSI Session Values]-----------------------
  CmdSN/WR  :  CmdSN/WC  :  ExpCmdSN  :  MaxCmdSN  :     ITT    :     TTT
 0x00000010   0x00000010   0x00000001   0x00000010   0x00000000   0x00000000
----------------------[iSCSI Connections]-------------------------
CID: 0  Connection State: TARG_CONN_STATE_LOGGED_IN
   Address {address} TCP  StatSN: 0x00000001
"""
# Folder, and the files and folders that the kernel puts into it.
_KINDS: tuple[tuple[str, dict[str, str], tuple[str, ...]], ...] = (
    (r"core/fileio_\d+", {"hba_info": ""}, ()),
    (
        r"core/fileio_\d+/[^/]+",
        {"control": "", "enable": "0", "attrib/emulate_write_cache": "0", "wwn/vpd_unit_serial": ""},
        (),
    ),
    (r"iscsi", {}, ()),
    (r"iscsi/iqn[^/]+", {}, ()),
    (
        r"iscsi/[^/]+/tpgt_\d+",
        {"enable": "0", "attrib/authentication": "0", "attrib/generate_node_acls": "0"},
        ("np", "lun", "acls"),
    ),
    (r"iscsi/[^/]+/tpgt_\d+/np/[0-9.]+:\d+", {}, ()),
    (r"iscsi/[^/]+/tpgt_\d+/lun/lun_\d+", {}, ()),
    (
        r"iscsi/[^/]+/tpgt_\d+/acls/[^/]+",
        {"info": NOBODY, "auth/userid": "NULL", "auth/password": "NULL"},
        (),
    ),
    (r"iscsi/[^/]+/tpgt_\d+/acls/[^/]+/lun_\d+", {"write_protect": "0"}, ()),
)


class PlayedConfigfs(Configfs):
    """*orders* is what it was told, in order."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        (root / "core").mkdir(parents=True, exist_ok=True)
        self.orders: list[str] = []

    # -- what the kernel does ------------------------------------------------------------------

    def make(self, path: Where) -> None:
        if (self.root / path).is_dir():
            return
        self.orders.append(f"mkdir {path}")
        files, folders = self._kind(path)
        super().make(path)
        for name, text in files.items():
            (self.root / path / name).parent.mkdir(exist_ok=True)
            (self.root / path / name).write_text(text + "\n")
        for name in folders:
            (self.root / path / name).mkdir()

    def write(self, path: Where, text: str) -> None:
        self.orders.append(f"write {path}")
        file = self.root / path
        if not file.is_file():
            raise self._error(errno.ENOENT, path)
        owner = file.parent
        if path.name == "control" and (owner / "enable").read_text().strip() == "1":
            raise self._error(errno.EINVAL, path)
        is_ready = text == "1" and "fd_dev_name=" in self.read(path.parent / "control")
        if path.name == "enable" and path.parts[0] == "core" and not is_ready:
            raise self._error(errno.EINVAL, path)
        if path.name == "enable" and path.parts[0] == "iscsi" and text == "0":
            self._end_sessions(owner)
        before = file.read_text() if path.name == "control" else ""
        file.write_text(before + text + "\n")

    def link(self, path: Where, to: Where) -> None:
        if not (self.root / path).is_symlink():
            self.orders.append(f"link {path}")
        if to.parts[0] == "core" and (self.root / to / "enable").read_text().strip() != "1":
            raise self._error(errno.ENODEV, path)
        super().link(path, to)

    def remove(self, path: Where) -> None:
        folder = self.root / path
        if not folder.is_dir():
            return
        self.orders.append(f"rmdir {path}")
        files, folders = self._kind(path)
        own = {name.partition("/")[0] for name in files} | set(folders)
        made = [entry for entry in folder.iterdir() if entry.name not in own]
        made += [entry for name in folders for entry in (folder / name).iterdir()]
        if made or self._is_linked(folder):
            raise self._error(errno.ENOTEMPTY if made else errno.EBUSY, path)
        shutil.rmtree(folder)

    def _kind(self, path: Where) -> tuple[dict[str, str], tuple[str, ...]]:
        for pattern, files, folders in _KINDS:
            if re.fullmatch(pattern, str(path)):
                return files, folders
        raise self._error(errno.EINVAL, path)

    def _is_linked(self, folder: Path) -> bool:
        links = (one for one in self.root.rglob("*") if one.is_symlink())
        return any(one.resolve() == folder.resolve() for one in links)

    def _end_sessions(self, group: Path) -> None:
        for acl in (group / "acls").iterdir():
            (acl / "info").write_text(NOBODY + "\n")

    def _error(self, number: int, path: Where) -> OSError:
        return OSError(number, os.strerror(number), str(self.root / path))

    # -- what machines do ----------------------------------------------------------------------

    def log_in(self, target: str, initiator: str, user: str, secret: str) -> None:
        """Do what the target does at login; raises `PermissionError`."""
        group = self.root / "iscsi" / target / "tpgt_1"
        acl = group / "acls" / initiator
        if not group.is_dir() or _text(group / "enable") != "1":
            raise PermissionError("target not found")
        if _text(group / "attrib/authentication") == "1":
            known = (_text(acl / "auth/userid"), _text(acl / "auth/password")) if acl.is_dir() else None
            if known != (user, secret):
                raise PermissionError("authentication failure")
        if not any(one.is_symlink() for one in (acl / "lun_1").iterdir()):
            raise PermissionError("no such LUN")
        (acl / "info").write_text(SESSION.format(initiator=initiator, address="10.0.0.21"))

    def log_out(self, target: str, initiator: str) -> None:
        (self.root / "iscsi" / target / "tpgt_1/acls" / initiator / "info").write_text(NOBODY + "\n")

    def machine_writes(self, target: str, octets: bytes) -> None:
        """Write to the beginning of the file behind the LUN."""
        link = next(one for one in (self.root / "iscsi" / target / "tpgt_1/lun/lun_1").iterdir())
        order = _text(link / "control")
        with Path(order.partition("fd_dev_name=")[2].partition(",")[0]).open("r+b") as file:
            file.write(octets)

    def reboot(self) -> None:
        """Forget everything, as a kernel does."""
        shutil.rmtree(self.root)
        (self.root / "core").mkdir(parents=True)


def _text(path: Path) -> str:
    return path.read_text().strip()
