"""Serves the ONTAP system of `ontap_state` over HTTPS on loopback."""

import base64
import fnmatch
import json
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.helpers.ontap_state import PASSWORD, SVM, USER, Ontap, Record, Refused

PAGE = 3  # records: the real default is larger, and following pages is not


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one write
    disable_nagle_algorithm = True
    ontap: Ontap  # set by `ontap_system`

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PATCH = do_DELETE = do_GET

    def log_message(self, *args: object) -> None:
        """Say nothing: `calls` has it."""

    def _answer(self) -> None:
        url = urlsplit(self.path)
        path, query = unquote(url.path).removeprefix("/api"), dict(parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            with self.ontap.lock:
                self.ontap.calls.append(f"{self.command} {path}")
                self._check(path)
                self._serve(path, query, body)
        except Refused as error:
            said = {"error": {"message": error.message, "code": error.code}}
            self._send(error.status, json.dumps(said).encode())

    def _check(self, path: str) -> None:
        given = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {given}":
            raise Refused(401, "User is not authorized.", "6691623")
        for one in self.ontap.refusals:
            if one[0] in f"{self.command} {path}":
                self.ontap.refusals.remove(one)
                raise one[1]

    def _serve(self, path: str, query: dict[str, str], body: bytes) -> None:
        ontap, kind = self.ontap, self.headers.get("Content-Type") or ""
        lun = re.fullmatch(r"/storage/luns/([^/]+)", path)
        if lun and self.command == "GET" and self.headers.get("Accept") == "multipart/form-data":
            octets = ontap.read_data(lun[1], int(query["data.offset"]), int(query["data.size"]))
            self._send_data(octets)
        elif lun and self.command == "PATCH" and kind.startswith("multipart/form-data"):
            ontap.write_data(lun[1], int(query["data.offset"]), _form_data(kind, body))
            self._send(200, b"{}")
        elif self.command == "GET":
            self._send(200, json.dumps(self._page(path, query)).encode())
        else:
            self._change(path, json.loads(body or b"{}"))

    def _change(self, path: str, body: Record) -> None:
        makers = {
            "/storage/luns": self.ontap.add_lun,
            "/protocols/san/igroups": self.ontap.add_igroup,
            "/protocols/san/lun-maps": self.ontap.add_map,
            "/protocols/san/iscsi/credentials": self.ontap.add_credentials,
        }
        if self.command == "POST":
            if body.get("svm", {}).get("name") != SVM:
                raise Refused(400, "The SVM was not found.", "2621462")
            made = makers[path](body)
            self._send(201, b'{"num_records": 1}', Location=f"/api{path}/{_keys(path, made)}")
            return
        self._change_one(path, body)
        self._send(200, b"{}")

    def _change_one(self, path: str, body: Record) -> None:
        ontap, is_patch = self.ontap, self.command == "PATCH"
        folder, _, key = path.rpartition("/")
        if folder == "/storage/luns":
            ontap.change_lun(key, body) if is_patch else ontap.remove_lun(key)
        elif folder == "/protocols/san/igroups":
            ontap.at(ontap.igroups, key).update(body) if is_patch else ontap.remove_igroup(key)
        elif folder.startswith("/protocols/san/lun-maps/"):
            if ontap.maps.pop((folder.rpartition("/")[2], key), None) is None:
                raise Refused(404, "entry doesn't exist", "4")
        elif folder == f"/protocols/san/iscsi/credentials/{ontap.svm_uuid}":
            known = ontap.at(ontap.credentials, key)
            known.update(body) if is_patch else ontap.credentials.pop(key)
        else:
            raise Refused(404, "API not found", "3")

    def _page(self, path: str, query: dict[str, str]) -> Record:
        fields = query.get("fields", "").split(",")
        options = ("fields", "max_records", "return_records", "return_timeout", "start")
        wanted = {name: value for name, value in query.items() if name not in options}
        found = [
            one
            for one in self.ontap.listing(path)
            if all(
                any(fnmatch.fnmatchcase(v, value) for v in _values(one, name))
                for name, value in wanted.items()
            )
        ]
        start = int(query.get("start", 0))
        answer: Record = {"records": [_told(one, fields) for one in found[start : start + PAGE]]}
        answer["num_records"] = len(answer["records"])
        if start + PAGE < len(found):
            more = "&".join(f"{name}={value}" for name, value in query.items() if name != "start")
            answer["_links"] = {"next": {"href": f"/api{path}?{more}&start={start + PAGE}"}}
        return answer

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/hal+json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_data(self, octets: bytes) -> None:
        head = b'--ontap-form\r\nContent-Disposition: form-data; name="data"'
        head += b"\r\nContent-Type: application/octet-stream"
        body = head + b"\r\n\r\n" + octets + b"\r\n--ontap-form--\r\n"
        self._send(200, body, **{"Content-Type": "multipart/form-data; boundary=ontap-form"})


def _form_data(kind: str, body: bytes) -> bytes:
    boundary = kind.partition("boundary=")[2].strip('"').encode()
    parts = body.split(b"--" + boundary)
    if len(parts) != 3:
        raise Refused(400, "Exactly one form entry is expected.", "262179")
    return parts[1].partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


def _told(record: Record, fields: list[str]) -> Record:
    """Return what a collection tells: keys and names, and what was asked for."""
    always = ("uuid", "name", "svm", "initiator", "tsih", "target_portal_group", "lun", "igroup")
    asked = {name.partition(".")[0] for name in fields}
    return {name: value for name, value in record.items() if name in always or name in asked}


def _values(record: Record, name: str) -> list[str]:
    value: Any = record
    for part in name.split("."):
        value = value.get(part, "") if isinstance(value, dict) else ""
    if isinstance(value, list):
        return [str(one) for one in value]
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def _keys(path: str, made: Record) -> str:
    if path.endswith("lun-maps"):
        return f"{made['lun']['uuid']}/{made['igroup']['uuid']}"
    return str(made["uuid"]) if "uuid" in made else f"{made['svm']['uuid']}/{made['initiator']}"


def certificate(folder: Path) -> Path:
    """Make a key and a certificate for 127.0.0.1, signed by itself; return the file with both."""
    path = folder / "ontap.pem"
    names = ["-subj", "/CN=ontap", "-addext", "subjectAltName=IP:127.0.0.1"]
    order = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*order, "-keyout", str(path), "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@contextmanager
def ontap_system(pem: Path) -> Iterator[tuple[Ontap, str]]:
    """Serve HTTPS on loopback; yield the system and its ``host:port``."""
    ontap = Ontap()
    handler = type("Handler", (_Handler,), {"ontap": ontap})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield ontap, f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
