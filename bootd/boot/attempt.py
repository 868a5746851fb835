"""The ``?a=`` of the file addresses in a script: which machine fetches them, and by which one-shot order.

``<override id, 0 for none>-<MAC as bare hex>-<8 hex of tag>``, so a file that went out whole
can be put down to a machine without asking anybody. The tag is there because a whole fetch
uses an override up: an address typed by hand or guessed must not.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass

_TEXT = re.compile(r"(0|[1-9][0-9]{0,17})-([0-9a-f]{12})-([0-9a-f]{8})\Z")


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who boots, and the override its script carries out."""

    mac: str  # canonical text
    override: int | None


def parse_attempt(text: str) -> Attempt | None:
    """Return what *text* names, None where it names nothing. Does not look at the tag."""
    match = _TEXT.match(text)
    if match is None:
        return None
    return Attempt(bytes.fromhex(match[2]).hex(":"), int(match[1]) or None)


class Attempts:
    """Writes attempt ids and knows its own again."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def format(self, attempt: Attempt) -> str:
        """Return the id of *attempt*; the same one every time, as ROMs ask repeatedly."""
        stem = f"{attempt.override or 0}-{attempt.mac.replace(':', '')}"
        return f"{stem}-{self._tag(stem)}"

    def check(self, text: str) -> Attempt | None:
        """Return the attempt *text* names if this bootd wrote it, else None."""
        attempt = parse_attempt(text)
        if attempt is None or not hmac.compare_digest(self.format(attempt), text):
            return None
        return attempt

    def _tag(self, stem: str) -> str:
        return hmac.new(self._secret, b"attempt:" + stem.encode(), hashlib.sha256).hexdigest()[:8]
