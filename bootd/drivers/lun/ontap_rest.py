"""The calls of ONTAP's REST API that LUNs need, by NetApp's own client library (the extra `ontap`)."""

import importlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bootd.drivers.lun.base import LunError, LunFull, LunRefused, LunUnreachable

# Reads and writes are limited to one megabyte each. Whether that is 10^6 octets or 2^20 is not written, so
# it is the most whole 4 KiB blocks, of which ONTAP's files are made, below both.
PIECE = 244 * 4096

Row = Mapping[str, Any]

_TIMEOUTS = (6, 60)  # seconds to connect, and between two octets of an answer
_FULL = ("no space", "insufficient space", "not enough space", "out of space", "lack of space")


@dataclass(frozen=True, slots=True)
class OntapSite:
    """Where LUNs are kept: one FlexVol of one storage virtual machine (SVM)."""

    host: str = ""  # where it is managed, the SVM's own address or the cluster's; "host:port" if not 443
    user: str = ""
    password_file: Path | None = None
    svm: str = ""
    volume: str = ""
    verify: bool = True  # the certificate of the host
    ca_file: Path | None = None  # who may have signed it; None: whom this machine trusts

    def missing(self) -> list[str]:
        """Return the names of what must be said and is not."""
        return [
            name for name in ("host", "user", "password_file", "svm", "volume") if not getattr(self, name)
        ]


class Absent(Exception):
    """What was asked for is not there (HTTP 404)."""


class OntapRest:
    """One connection a thread. Errors are `Absent` and those of the interface, about no volume."""

    def __init__(self, site: OntapSite) -> None:
        if missing := site.missing():
            raise LunRefused("", f"not set: {', '.join(f'luns.ontap.{name}' for name in missing)}")
        self.site = site
        self._library = _library()
        self._threads = threading.local()

    def rows(self, kind: str, fields: str, **query: str) -> list[Row]:
        """Return what of *kind* (a class of netapp_ontap.resources) fits *query*, all pages of it."""
        with self._asking():
            found = self._kind(kind).get_collection(fields=fields, **query)
            return [row.to_dict() for row in found]

    def make(self, kind: str, properties: Row) -> None:
        with self._asking():
            self._kind(kind).from_dict({"svm": {"name": self.site.svm}, **properties}).post(hydrate=False)

    def change(self, kind: str, keys: Mapping[str, str], properties: Row) -> None:
        with self._asking():
            resource = self._kind(kind)(**keys)
            for name, value in properties.items():
                setattr(resource, name, value)
            resource.patch()

    def remove(self, kind: str, keys: Mapping[str, str]) -> None:
        """Have it gone; what is not there is fine."""
        try:
            with self._asking():
                self._kind(kind)(**keys).delete()
        except Absent:
            return

    def read(self, uuid: str, offset: int, size: int) -> bytes:
        """Return octets of a LUN, `PIECE` at most.

        The library's own way takes them for UTF-8 text (9.19.1), so this goes by its session alone.
        """
        with self._asking() as connection:
            answer = connection.session.get(
                f"{connection.origin}/api/storage/luns/{uuid}",
                params={"data.offset": offset, "data.size": size},
                headers={"Accept": "multipart/form-data"},
            )
            answer.raise_for_status()
            parts = self._library.decoder.MultipartDecoder.from_response(answer).parts
        if len(parts) != 1 or len(parts[0].content) != size:
            said = f"{len(parts)} parts of {sum(len(part.content) for part in parts)} octets"
            raise LunUnreachable("", f"{self.site.host} was asked for {size} octets and sent {said}")
        return bytes(parts[0].content)

    def write(self, uuid: str, offset: int, octets: bytes) -> None:
        """Write octets to a LUN, `PIECE` at most: from memory, as the library's own way is not."""
        with self._asking() as connection:
            answer = connection.session.patch(
                f"{connection.origin}/api/storage/luns/{uuid}",
                params={"data.offset": offset},
                files={"data": ("data", octets, "application/octet-stream")},
            )
            answer.raise_for_status()

    # -- the library ------------------------------------------------------------------------

    def _kind(self, name: str) -> Any:
        return getattr(self._library.resources, name)

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        """Have this thread's connection used, and errors in the interface's words."""
        connection = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._threads.connection = self._connect()
        try:
            with connection:
                yield connection
        except self._library.errors as error:
            said = self._said(error)
            if isinstance(said, LunRefused):
                self._threads.connection = None  # so that the password is read again
            raise said from None  # the library's error holds the whole request

    def _connect(self) -> Any:
        site = self.site
        where = urlsplit(f"//{site.host}")
        verify = str(site.ca_file) if site.verify and site.ca_file else site.verify
        connection = self._library.connection(
            where.hostname,
            username=site.user,
            password=_password(site.password_file),
            verify=verify,
            port=where.port or 443,
            poll_timeout=120,
            poll_interval=1,
            protocol_timeouts=_TIMEOUTS,
        )
        connection.session.trust_env = (
            False  # REQUESTS_CA_BUNDLE would win over ca_file, a proxy over the way
        )
        return connection

    def _said(self, error: Exception) -> LunError | Absent:
        cause = getattr(error, "cause", error)
        response = getattr(cause, "response", None)
        if response is None:
            return LunUnreachable("", f"{self.site.host} does not answer: {_plain(cause)}")
        words = f"{self.site.host} says: {_words(response)}"
        status = response.status_code
        if status == 404:
            return Absent(words)
        if status in (401, 403):
            return LunRefused("", f"{words}; luns.ontap.user is {self.site.user!r}")
        if any(word in words.lower() for word in _FULL) or status == 507:
            return LunFull("", words)
        return LunUnreachable("", words) if status >= 500 or status == 429 else LunRefused("", words)


@dataclass(frozen=True, slots=True)
class _Library:
    connection: Any
    resources: Any
    decoder: Any
    errors: tuple[type[Exception], ...]


def _library() -> _Library:
    """Import the client library; it is large, and not everybody's."""
    try:
        ontap = importlib.import_module("netapp_ontap")
        resources = importlib.import_module("netapp_ontap.resources")
        error = importlib.import_module("netapp_ontap.error")
    except ModuleNotFoundError as missing:
        raise LunRefused(
            "", f"ONTAP needs the extra 'ontap' ({missing.name}): pip install 'bootd-appliance[ontap]'"
        ) from None
    requests = importlib.import_module("requests")
    return _Library(
        ontap.HostConnection,
        resources,
        importlib.import_module("requests_toolbelt.multipart.decoder"),
        (error.NetAppRestError, requests.exceptions.RequestException),
    )


def _password(path: Path | None) -> str:
    try:
        return path.read_text().strip() if path is not None else ""
    except OSError as error:
        raise LunRefused("", f"luns.ontap.password_file: {path}: {error.strerror or error}") from None


def _words(response: Any) -> str:
    """Return what ONTAP says is wrong, with its code."""
    try:
        error = response.json()["error"]
        return f"{error['message']} ({error['code']})"
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}"


def _plain(error: BaseException) -> str:
    """Return the innermost reason: what is around it names objects of the library."""
    while (inner := _within(error)) is not None:
        error = inner
    return str(error) or type(error).__name__


def _within(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    first = error.args[0] if error.args else None
    candidates = (reason, first, error.__cause__)
    return next((one for one in candidates if isinstance(one, BaseException) and one is not error), None)
