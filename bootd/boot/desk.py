"""Where a question becomes a script, whichever protocol brought it: decide, render, and what it must know."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bootd.boot.attempt import Attempt, Attempts
from bootd.boot.clients import Clients
from bootd.boot.decide import (
    BootDecision,
    BootLocal,
    BootLun,
    BootMemory,
    BootSlot,
    ChainLoader,
    Diagnose,
    Silent,
)
from bootd.boot.files import Answer, Served
from bootd.boot.places import Chap, grub_disk, slot_helper
from bootd.boot.render import Renderer, Script, ScriptFacts
from bootd.boot.token import Tokens
from bootd.events import ScriptSent
from bootd.model import Host, LunClone
from netboot.arch import BY_NAME, Architecture, Firmware
from netboot.request import BootRequest


class Decide(Protocol):
    """Says what a machine boots.

    *waited* is True where the machine has just sat out the minute of a diagnosis: what was
    counted against it should be forgotten before the question is put. Asking has no other
    effect; what was given is known by the event `ScriptSent`.
    """

    def __call__(self, request: BootRequest, /, *, waited: bool) -> BootDecision: ...


@dataclass(frozen=True, slots=True)
class Answered:
    """A decision, and its script where it has one."""

    decision: BootDecision
    script: Script | None

    def event(self, *, client: str, dialect: str, octets: int) -> ScriptSent:
        """Return what to say when the script went out."""
        host, script = self.decision.host, self.script
        return ScriptSent(
            mac=host.mac if host is not None else "",
            host=host.name if host is not None else "",
            client=client,
            dialect=dialect,
            rule=self.decision.rule,
            answer=script.answer if script is not None else "",
            octets=octets,
            override=override_of(self.decision),
        )


@dataclass(frozen=True, slots=True)
class ScriptDesk:
    """Answers for every protocol that hands out scripts."""

    decide: Decide
    renderer: Renderer
    lookup: Callable[[str], Answer]  # a name under /files/
    attempts: Attempts
    tokens: Tokens
    clients: Clients
    loader_for: Callable[[Architecture], str | None]  # our iPXE, as named under /files/ and by TFTP
    local_helper: str = ""  # name under /files/ of the EFI program that starts the local disk
    tftp_server: str = ""  # address, where the loaders are not with us
    chap: Callable[[LunClone], Chap] | None = None  # how a node logs in to its clone; None: without a secret

    def script(
        self, question: BootRequest, dialect: str, base_url: str, *, client: str, waited: bool = False
    ) -> Answered:
        """Return the decision on *question* and its script in *dialect*; no script for silence.

        *base_url* is how the asker reaches us, *client* the IPv4 address it asks from. Nothing is
        used up by asking.
        """
        decision = self.decide(question, waited=waited)
        if isinstance(decision, Silent | ChainLoader):
            return Answered(decision, None)
        if isinstance(decision, BootLun) and not self._is_itself(decision.host, client):
            decision = _refused(decision, client)
        facts = self._facts(question, decision, base_url)
        return Answered(decision, self.renderer.render(decision, dialect, facts))

    def architecture_of(self, mac: str) -> Architecture:
        """Return what DHCP heard of *mac*, else plain BIOS.

        Scripts ask iPXE itself where it matters, so that a wrong guess costs our own loader only.
        """
        return self.clients.architecture_of(mac) or BY_NAME["x86-bios"]

    def _facts(self, question: BootRequest, decision: BootDecision, base_url: str) -> ScriptFacts:
        assert decision.host is not None  # only silence is without a host
        mac, override = decision.host.mac, override_of(decision)
        return ScriptFacts(
            base_url=base_url,
            arch=question.arch,
            tftp_server=self.tftp_server,
            attempt=self.attempts.format(Attempt(mac, override)),
            token=self.tokens.mint(mac, override, question.received_at),
            loader=self.loader_for(question.arch),
            local_helper=self._served(self.local_helper),
            slot_bios=self._slot_helper(decision, Firmware.BIOS),
            slot_efi=self._slot_helper(decision, Firmware.UEFI),
            chap=self.chap(decision.clone) if self.chap and isinstance(decision, BootLun) else None,
        )

    def _slot_helper(self, decision: BootDecision, firmware: Firmware) -> str | None:
        if not isinstance(decision, BootSlot):
            return None
        return self._served(slot_helper(firmware, grub_disk(decision.place.device), decision.slot))

    def _served(self, name: str) -> str | None:
        return name if name and isinstance(self.lookup(name), Served) else None

    def _is_itself(self, host: Host, client: str) -> bool:
        """Tell whether *client* is the machine itself, by ARP.

        Behind a router that says nothing: then its address in the host table must do. What was
        heard of DHCP does not count, as anybody can send such a packet in another's name.
        """
        mac = self.clients.on_link(client)
        return mac == host.mac if mac else client == host.ip


def _refused(decision: BootLun, client: str) -> Diagnose:
    problem = (
        f"this script was asked for from {client}, which is not known to be {decision.host.name}:"
        " the secret of its LUN is given to itself alone. If it is, set its address: "
        f"bootd hosts set {decision.host.name} --ip {client}"
    )
    return Diagnose(decision.host, "not-this-machine", problem, decision.place)


def override_of(decision: BootDecision) -> int | None:
    """Return the one-shot order that *decision* carries out."""
    return decision.override if isinstance(decision, BootMemory | BootLocal) else None
