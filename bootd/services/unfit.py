"""Why an image cannot go to nodes, or not to that place; each reason with the way out."""

from collections.abc import Iterable, Mapping, Sequence

from bootd.darkstore import forlun
from bootd.model import DiskImage, LunPair, SlotScheme
from bootd.services import nodeset
from bootd.services.payload import NotForSlot, payload_of
from bootd.units import size_text


def hosts(without_role: Sequence[str], without_pair: Sequence[str]) -> Iterable[str]:
    """Tell of nodes that have no place for an image at all."""
    if without_role:
        names = nodeset.fold(without_role)
        have = "has" if len(without_role) == 1 else "have"
        yield f"{names} {have} no role: bootd hosts set {names} --role mesh|root"
    if without_pair:
        names = nodeset.fold(without_pair)
        yield (
            f"{names}: no group of {'it' if len(without_pair) == 1 else 'theirs'} has a LUN pair:"
            " bootd luns add GROUP --size SIZE"
        )


def for_lun(image: DiskImage, pair: LunPair, nodes: Sequence[str]) -> Iterable[str]:
    """Tell why the image cannot be put on the LUN of root nodes."""
    size = forlun.disk_size(image)
    if why := forlun.why_not(image):
        yield f"{nodeset.fold(nodes)}: {why}"
    elif size is not None and size > pair.size:
        yield (
            f"{nodeset.fold(nodes)}: the disk of {image.ref} has {size_text(size)},"
            f" the LUNs of {pair.group} {size_text(pair.size)}"
        )


def for_slot(image: DiskImage, schemes: Mapping[str, SlotScheme]) -> Iterable[str]:
    """Tell why the image cannot be put into a slot of mesh nodes; *schemes* are those of the nodes.

    Where slots are as large as their disks allow, the size of a slot is known when its node says it.
    """
    try:
        needs = payload_of(image).needs
    except NotForSlot as error:
        yield f"{nodeset.fold(schemes)}: {error}"
        return
    for scheme, names in _by_scheme(schemes).items():
        if 0 < scheme.slot_mib << 20 < needs:
            have = f"their slots have {scheme.slot_mib << 20:,} ({scheme.slot_mib} MiB)"
            yield (
                f"{nodeset.fold(names)}: {image.ref} needs {needs:,} octets, {have};"
                f" bootd slots scheme set {scheme.group or '@all'} --slot-mib says how large they are"
            )


def wish_of_root(nodes: Sequence[str]) -> str:
    """Tell that a slot was wished for where there are none."""
    are = "is a root node" if len(nodes) == 1 else "are root nodes"
    return f"{nodeset.fold(nodes)} {are}, which boot from LUNs and have no slots: do without --slot"


def outside(number: int, schemes: Mapping[str, SlotScheme]) -> Iterable[str]:
    """Tell which nodes have no slot of that number; *schemes* are those of the nodes."""
    for scheme, names in _by_scheme(schemes).items():
        if number in scheme.numbers:
            continue
        have = "has" if len(names) == 1 else "have"
        slots = f"the slots {scheme.first} to {scheme.last}"
        yield f"{nodeset.fold(names)} {have} no slot {number}: {slots} (bootd slots scheme list)"


def _by_scheme(schemes: Mapping[str, SlotScheme]) -> dict[SlotScheme, list[str]]:
    found: dict[SlotScheme, list[str]] = {}
    for node, scheme in schemes.items():
        found.setdefault(scheme, []).append(node)
    return found


def taken(number: int, why: str, otherwise: int | None) -> str:
    """Tell why a slot that was wished for cannot be had, and which one can (None: none)."""
    way_out = "no other one can be had either" if otherwise is None else f"--slot {otherwise} can be had"
    return f"slot {number} cannot be had, it is {why}; {way_out}"
