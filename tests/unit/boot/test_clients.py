"""What was heard of machines: the newest word counts, and there is a bound."""

from bootd.boot.clients import Clients
from netboot.arch import BY_NAME

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
BIOS, UEFI = BY_NAME["x86-bios"], BY_NAME["x64-uefi"]


def nobody(address: str) -> None:
    return None


def test_address_belongs_to_whom_it_was_last_heard_of() -> None:
    clients = Clients(nobody)
    clients.heard_address(MAC, "10.0.0.5")
    clients.heard_address(OTHER, "10.0.0.5")
    clients.heard_address(MAC, "10.0.0.6")
    assert clients.mac_at("10.0.0.5") == OTHER
    assert clients.mac_at("10.0.0.6") == MAC


def test_neighbour_is_asked_only_where_nothing_was_heard() -> None:
    asked: list[str] = []

    def neighbour(address: str) -> str | None:
        asked.append(address)
        return OTHER if address == "10.0.0.9" else None

    clients = Clients(neighbour)
    clients.heard_address(MAC, "10.0.0.5")
    assert [clients.mac_at(f"10.0.0.{n}") for n in (5, 9, 7)] == [MAC, OTHER, ""]
    assert asked == ["10.0.0.9", "10.0.0.7"]


def test_on_our_link_the_kernel_alone_is_believed() -> None:
    clients = Clients({"10.0.0.5": MAC}.get)
    clients.heard_address(OTHER, "10.0.0.5")
    clients.heard_address(OTHER, "10.0.0.6")
    assert (clients.on_link("10.0.0.5"), clients.on_link("10.0.0.6")) == (MAC, "")


def test_architecture_is_the_last_one_said() -> None:
    clients = Clients(nobody)
    assert clients.architecture_of(MAC) is None
    clients.heard_architecture(MAC, BIOS)
    clients.heard_architecture(MAC, UEFI)
    assert clients.architecture_of(MAC) == UEFI


def test_whoever_was_heard_of_longest_ago_is_forgotten_first() -> None:
    clients = Clients(nobody, remembered=2)
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.3"):
        clients.heard_address(f"mac of {address}", address)
    assert [clients.mac_at(f"10.0.0.{n}") for n in (1, 2, 3)] == ["mac of 10.0.0.1", "", "mac of 10.0.0.3"]


def test_invented_addresses_do_not_push_architectures_out() -> None:
    clients = Clients(nobody, remembered=2)
    clients.heard_architecture(MAC, BIOS)
    for number in range(10):
        clients.heard_address(OTHER, f"10.0.0.{number}")
    assert clients.architecture_of(MAC) == BIOS
