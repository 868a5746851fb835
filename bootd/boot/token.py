"""The one-time token by which a memory image's agent proves which boot it comes from.

Stateless: the token says MAC address, override and time of issue, under HMAC-SHA256 with the
installation's secret. 48 characters, URL-safe, so it fits a kernel command line.

One-time: the state ``running`` uses it up, other states (``starting``, ``failed`` …) do not,
as an agent may tell of several on its way. Used tokens are remembered in memory until they
expire. A restart forgets them: a token used before may be used once more until its 24 hours
are over. That is harmless, since the override it names is gone from the store by then.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bootd.errors import Refused
from netboot.hwaddr import format_mac, mac_octets

LIFETIME_S = 24 * 3600
CLOCK_SLIP_S = 300  # a token from the future is ours if the clock was set back a little
SECRET_SIZE = 32  # octets

_BODY = struct.Struct(">6sII4s")  # MAC, override (0: none), seconds since 1970, nonce
_TAG_SIZE = 18  # octets of HMAC-SHA256 kept; with the body a multiple of 3, so base64 needs no padding


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What a good token says."""

    mac: str  # canonical text
    override: int | None
    issued_at: datetime
    nonce: bytes


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """The token is not good; *reason* is a stable slug."""

    reason: str  # token-malformed | token-forged | token-expired | token-other-machine | token-used


class Tokens:
    """Mints and checks the tokens of one installation."""

    def __init__(self, secret: bytes, *, nonce: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._secret = secret
        self._nonce = nonce
        self._used: dict[tuple[str, bytes], datetime] = {}

    def mint(self, mac: str, override: int | None, now: datetime) -> str:
        """Return a fresh token for *mac* (canonical text)."""
        body = _BODY.pack(mac_octets(mac), override or 0, int(now.timestamp()), self._nonce(4))
        return base64.urlsafe_b64encode(body + self._tag(body)).decode("ascii")

    def check(self, text: str, now: datetime, *, mac: str | None = None) -> TokenFacts | TokenRefused:
        """Say what *text* proves; *mac*, where the asker is known otherwise, must be the token's."""
        facts = self._open(text)
        if isinstance(facts, TokenRefused):
            return facts
        age_s = (now - facts.issued_at).total_seconds()
        if not -CLOCK_SLIP_S <= age_s < LIFETIME_S:
            return TokenRefused("token-expired")
        if mac is not None and mac != facts.mac:
            return TokenRefused("token-other-machine")
        if (facts.mac, facts.nonce) in self._used:
            return TokenRefused("token-used")
        return facts

    def use_up(self, facts: TokenFacts, now: datetime) -> None:
        """Refuse this token from now on."""
        self._used = {key: at for key, at in self._used.items() if _age_s(now, at) < LIFETIME_S}
        self._used[facts.mac, facts.nonce] = facts.issued_at

    def _open(self, text: str) -> TokenFacts | TokenRefused:
        try:
            raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return TokenRefused("token-malformed")
        if len(raw) != _BODY.size + _TAG_SIZE:
            return TokenRefused("token-malformed")
        body, tag = raw[: _BODY.size], raw[_BODY.size :]
        if not hmac.compare_digest(tag, self._tag(body)):
            return TokenRefused("token-forged")
        octets, override, issued, nonce = _BODY.unpack(body)
        return TokenFacts(format_mac(octets), override or None, datetime.fromtimestamp(issued, UTC), nonce)

    def _tag(self, body: bytes) -> bytes:
        return hmac.new(self._secret, b"token:" + body, hashlib.sha256).digest()[:_TAG_SIZE]


def _age_s(now: datetime, issued_at: datetime) -> float:
    return (now - issued_at).total_seconds()


def read_or_make_secret(path: Path) -> bytes:
    """Return the secret kept in *path*, made on first use (mode 0600).

    Written whole beside its place and linked there, so that two processes that start at once
    end with the same one. Raises `Refused` where what stands there is no secret.
    """
    if not path.exists():
        _make_secret(path)
    secret = path.read_bytes()
    if len(secret) != SECRET_SIZE:
        raise Refused(f"{path} holds {len(secret)} octets where a secret of {SECRET_SIZE} belongs: remove it")
    return secret


def _make_secret(path: Path) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    try:
        fresh.touch(mode=0o600, exist_ok=False)
        with fresh.open("wb") as file:
            file.write(secrets.token_bytes(SECRET_SIZE))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            return  # another process was first; its secret counts
    finally:
        fresh.unlink(missing_ok=True)
