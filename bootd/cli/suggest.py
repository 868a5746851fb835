"""What the shell completes: hosts, groups, images, read from the store; silent when that fails."""

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from bootd.cli.context import Site
from bootd.model import DiskImage, LunPair, Project, Reservation, SlotScheme
from bootd.model.places import STANDARD_SCHEME
from bootd.store import Store

NODESET_HELP = "NODESET: node[01-40,!07], @role:mesh, @GROUP, @all, a name or a MAC address; commas between."

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _from_store(words: Callable[[Store], list[str]]) -> Complete:
    """Make a completion of what *words* finds in the store."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            site = Site(ctx.find_root().params.get("config_file"))
            with site.read_store() as store:
                found = words(store)
        except Exception:  # noqa: BLE001  a message would land in the middle of the command line
            return []
        done, comma, last = incomplete.rpartition(",")
        return [CompletionItem(done + comma + word) for word in found if word.startswith(last)]

    return complete


def lab_node(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the machines of the labs that are up."""
    from bootd.lab import Lab, labs

    try:
        wanted = ctx.params.get("name")
        found = [node for name in ([wanted] if wanted else labs()) for node in Lab(name).state().nodes]
    except Exception:  # noqa: BLE001  a message would land in the middle of the command line
        return []
    return [CompletionItem(word) for word in dict.fromkeys(found) if word.startswith(incomplete)]


def _slot_numbers(schemes: Iterable[SlotScheme]) -> set[int]:
    return {number for scheme in (STANDARD_SCHEME, *schemes) for number in scheme.numbers}


def _node_sets(store: Store) -> list[str]:
    hosts = store.hosts()
    roles = {f"@role:{host.role}" for host in hosts if host.role}
    groups = {f"@{group}" for host in hosts for group in host.groups}
    return [*(host.name for host in hosts), "@all", *sorted(roles), *sorted(groups)]


host = _from_store(lambda store: [each.name for each in store.hosts()])
node_set = _from_store(_node_sets)
group = _from_store(lambda store: sorted({each for host in store.hosts() for each in host.groups}))
image = _from_store(lambda store: [each.name for each in store.memory_images()])
project = _from_store(lambda store: [each.name for each in store.every(Project)])
disk_image = _from_store(lambda store: sorted(str(each.ref) for each in store.every(DiskImage)))
lun_pair = _from_store(lambda store: [each.group for each in store.every(LunPair)])
reservation = _from_store(
    lambda store: [str(each.id) for each in store.every(Reservation) if each.state in ("booked", "active")]
)
job = _from_store(lambda store: [str(each.id) for each in store.jobs(limit=50)])
slot_number = _from_store(
    lambda store: [str(number) for number in sorted(_slot_numbers(store.every(SlotScheme)))]
)
slot_scheme = _from_store(lambda store: [each.group or "@all" for each in store.every(SlotScheme)])
target = _from_store(
    lambda store: ["local", "default", *(f"memory:{each.name}" for each in store.memory_images())]
)
