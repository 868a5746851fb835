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


def for_slot(image: DiskImage, nodes: Sequence[str]) -> Iterable[str]:
    """Tell why the image cannot be put into a slot of mesh nodes."""
    try:
        payload_of(image)
    except NotForSlot as error:
        yield f"{nodeset.fold(nodes)}: {error}"


def wish_of_root(nodes: Sequence[str]) -> str:
    """Tell that a slot was wished for where there are none."""
    are = "is a root node" if len(nodes) == 1 else "are root nodes"
    return f"{nodeset.fold(nodes)} {are}, which boot from LUNs and have no slots: do without --slot"


def outside(number: int, schemes: Mapping[str, SlotScheme]) -> Iterable[str]:
    """Tell which nodes have no slot of that number; *schemes* are those of the nodes."""
    by_scheme: dict[SlotScheme, list[str]] = {}
    for node, scheme in schemes.items():
        if number not in scheme.numbers:
            by_scheme.setdefault(scheme, []).append(node)
    for scheme, names in by_scheme.items():
        have = "has" if len(names) == 1 else "have"
        slots = f"the slots {scheme.first} to {scheme.last}"
        yield f"{nodeset.fold(names)} {have} no slot {number}: {slots} (bootd slots scheme list)"


def taken(number: int, why: str, otherwise: int | None) -> str:
    """Tell why a slot that was wished for cannot be had, and which one can (None: none)."""
    way_out = "no other one can be had either" if otherwise is None else f"--slot {otherwise} can be had"
    return f"slot {number} cannot be had, it is {why}; {way_out}"
