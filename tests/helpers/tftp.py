"""A TFTP client without a socket, and a wire between it and `ReadTransfer` that loses packets."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from netboot.tftp.negotiate import Agreement, negotiate
from netboot.tftp.source import BytesSource
from netboot.tftp.transfer import Outcome, ReadTransfer


@dataclass
class Client:
    """Takes blocks in order and answers as RFC 1350 and RFC 7440 tell a receiver to."""

    block_size: int
    window_size: int = 1
    received: bytearray = field(default_factory=bytearray)
    is_complete: bool = False
    errors: list[bytes] = field(default_factory=list)
    oacks: int = 0
    _next: int = 1
    _in_window: int = 0

    def receive(self, datagrams: list[bytes]) -> list[int]:
        """Return the block numbers it acknowledges."""
        acks: list[int] = []
        has_gap = False
        for datagram in datagrams:
            opcode, number = datagram[1], int.from_bytes(datagram[2:4], "big")
            if opcode == 6:
                self.oacks += 1
                acks.append(0)
            elif opcode == 5:
                self.errors.append(datagram)
            elif number == self._next & 0xFFFF:
                acks += self._take(datagram[4:])
            else:
                has_gap = True
        if has_gap or (self._in_window and not acks):
            self._in_window = 0
            acks.append((self._next - 1) & 0xFFFF)
        return acks

    def _take(self, data: bytes) -> list[int]:
        if self.is_complete:
            return []
        self.received += data
        self._next += 1
        self._in_window += 1
        self.is_complete = len(data) < self.block_size
        if self.is_complete or self._in_window == self.window_size:
            self._in_window = 0
            return [(self._next - 1) & 0xFFFF]
        return []


def never() -> bool:
    return False


@dataclass
class Pair:
    """A transfer and a client joined by a wire; *loses* is asked for each packet."""

    transfer: ReadTransfer
    client: Client
    loses: Callable[[], bool] = never
    now: float = 0.0
    packets: int = 0  # sent by the server

    def run(self, *, steps: int = 1_000_000) -> None:
        """Move packets, and the clock where nothing moves, until the transfer ends."""
        for _ in range(steps):
            sent = self.transfer.datagrams_to_send(now=self.now)
            self.packets += len(sent)
            for block in self.client.receive([packet for packet in sent if not self.loses()]):
                if not self.loses():
                    self.now += 0.001
                    self.transfer.receive_ack(block, now=self.now)
            if self.transfer.outcome is not Outcome.RUNNING:
                return
            if not sent:
                assert self.transfer.deadline is not None
                self.now = max(self.now, self.transfer.deadline)
                self.transfer.handle_timeout(now=self.now)
        raise AssertionError("the transfer does not end")


def a_transfer(data: bytes, *options: tuple[str, str]) -> ReadTransfer:
    """Return a transfer of *data* as the listener would begin it."""
    return ReadTransfer(BytesSource(data), negotiate(options, size=len(data)))


def a_pair(data: bytes, *options: tuple[str, str], loss: float = 0.0, seed: int = 0) -> Pair:
    """Return a transfer of *data* and its client over a wire that loses *loss* of the packets."""
    transfer = a_transfer(data, *options)
    agreement: Agreement = transfer.agreement
    chance = random.Random(seed)
    client = Client(agreement.block_size, agreement.window_size)
    return Pair(transfer, client, lambda: chance.random() < loss)
