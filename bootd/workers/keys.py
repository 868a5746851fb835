"""What the configuration says of the calendar, LUNs and imaging, and the settings that makes."""

import importlib
import re
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

from bootd.errors import BadValue
from bootd.model import check_name
from bootd.workers.settings import Settings

Check = Callable[[Any], str | None]  # what was expected, or None where the value fits

_DAY_S = 86_400
_IQN = re.compile(
    r"iqn\.[0-9]{4}-(?:0[1-9]|1[0-2])\.[a-z0-9]+(?:[.-]+[a-z0-9]+)*(?::[a-z0-9.:-]+)?(?<![:.-])"
)
_LONGEST_IQN = 150  # with the name of a node, 223 octets at most (RFC 7143 section 4.2.7.1)


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _whole(low: int, high: int, what: str) -> Check:
    def check(value: Any) -> str | None:
        fits = type(value) is int and low <= value <= high
        return None if fits else f"{what} from {low} to {high}"

    return check


def _driver(module: str) -> Check:
    """One of the drivers of *module*, or none; it is imported where one is named."""

    def check(value: Any) -> str | None:
        if value == "":
            return None
        names = sorted(importlib.import_module(module).DRIVERS)
        known = ", ".join(repr(name) for name in ["", *names])
        return None if isinstance(value, str) and value in names else f"one of {known}"

    return check


def _text(value: Any) -> str | None:
    ok = isinstance(value, str) and value == value.strip() and value.isprintable()
    return None if ok else "a text in one line"


def _path(value: Any) -> str | None:
    return None if value == "" or (isinstance(value, str) and value.startswith("/")) else "an absolute path"


def _interface(value: Any) -> str | None:
    ok = isinstance(value, str) and re.fullmatch(r"[!-~]{0,15}", value) and "/" not in value
    return None if ok else "the name of a network interface"


def _memory_image(value: Any) -> str | None:
    try:
        check_name("memory image", value)
    except (BadValue, TypeError):
        return "the name of a memory image"
    return None


def _iqn(value: Any) -> str | None:
    ok = isinstance(value, str) and _IQN.fullmatch(value) and len(value) <= _LONGEST_IQN
    return None if ok else 'an iSCSI name such as "iqn.2026-01.org.example"'


def _portals(value: Any) -> str | None:
    ok = isinstance(value, list) and all(isinstance(one, str) and _is_portal(one) for one in value)
    return None if ok else 'a list of "address:port", such as ["10.0.0.2:3260"]'


def _is_portal(text: str) -> bool:
    """Tell whether it is an IPv4 address that machines can reach, and a port."""
    address, _, port = text.rpartition(":")
    try:
        found = IPv4Address(address)
    except ValueError:
        return False
    is_port = re.fullmatch(r"[1-9][0-9]{0,4}", port) is not None and int(port) <= 65535
    return is_port and not (found.is_unspecified or found.is_multicast or address == "255.255.255.255")


# name, default, check, meaning
ROWS: tuple[tuple[str, Any, Check, str], ...] = (
    ("calendar.enabled", True, _flag, "stage, begin and end what is booked; false: another bootd does"),
    ("calendar.window", 8, _whole(1, 1000, "a number"), "machines that are switched together"),
    ("calendar.window_pause", 10, _whole(0, 3600, "seconds"), "seconds from one such window to the next"),
    ("calendar.up_timeout", 300, _whole(10, _DAY_S, "seconds"), "seconds for a machine to say that it runs"),
    ("luns.backend", "", _driver("bootd.drivers.lun"), "what keeps and exports LUNs; empty: there are none"),
    (
        "luns.portals",
        [],
        _portals,
        "where machines find LUNs; empty: all that the target listens on",
    ),
    ("luns.control_port", 0, _whole(0, 32767, "a number"), "which tgtd of this machine: its --control-port"),
    ("luns.stage_ahead", 0, _whole(0, 1440, "minutes"), "minutes before a start to stage at the latest"),
    ("luns.ontap.host", "", _text, "where ONTAP is managed: its address or name, with :port if not 443"),
    ("luns.ontap.user", "", _text, "who bootd is there"),
    ("luns.ontap.password_file", "", _path, "the file with the password of that user"),
    ("luns.ontap.svm", "", _text, "the storage virtual machine (SVM) that exports the LUNs"),
    ("luns.ontap.volume", "", _text, "the volume (FlexVol) that they lie in"),
    ("luns.ontap.verify", True, _flag, "false: any certificate will do, whoever made it"),
    (
        "luns.ontap.ca_file",
        "",
        _path,
        "who signed ONTAP's certificate; empty: whom this machine trusts",
    ),
    ("luns.iqn", "iqn.2026-01.net.bootd", _iqn, "what the iSCSI names of the nodes begin with"),
    ("imaging.transport", "", _driver("bootd.drivers.transport"), "what sends images; empty: nothing does"),
    ("imaging.interface", "", _interface, "by which images are sent; empty: the one that is served"),
    ("imaging.memory_image", "imager", _memory_image, "the memory image that writes slots"),
    ("imaging.rate_mbit", 100, _whole(1, 1_000_000, "Mbit/s"), "Mbit/s of all sessions together"),
    ("imaging.join_timeout", 180, _whole(10, _DAY_S, "seconds"), "seconds for a machine to join its session"),
)


def lacking(value_of: Callable[[str], Any]) -> list[tuple[str, str]]:
    """Return what a LUN backend that is named cannot do without: the key, and what is wrong."""
    backend = value_of("luns.backend")
    if backend == "lio" and value_of("server.user"):
        text = 'luns.backend = "lio": the kernel\'s target obeys root alone: server.user must be ""'
        return [("luns.backend", text)]
    if backend == "ontap":
        needed = [f"luns.ontap.{name}" for name in ("host", "user", "password_file", "svm", "volume")]
        missing = ", ".join(name for name in needed if not value_of(name))
        return [("luns.backend", f'luns.backend = "ontap": {missing} must be set')] if missing else []
    return []


def settings(value_of: Callable[[str], Any]) -> Settings:
    """Return the settings of the workers from the values of these keys."""
    return Settings(
        lun_backend=value_of("luns.backend"),
        transport=value_of("imaging.transport"),
        imager=value_of("imaging.memory_image"),
        rate=value_of("imaging.rate_mbit") * 1_000_000,
        window=value_of("calendar.window"),
        window_pause_s=float(value_of("calendar.window_pause")),
        up_s=float(value_of("calendar.up_timeout")),
        join_s=float(value_of("imaging.join_timeout")),
        stage_ahead_s=value_of("luns.stage_ahead") * 60.0,
        base_iqn=value_of("luns.iqn"),
    )
