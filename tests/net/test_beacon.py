"""The one line that an image on disk runs, as it is documented, against the real service."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helpers.deeds import put_in_place
from tests.helpers.namespace import Namespace, namespace
from tests.helpers.service import PATIENCE_S, Service
from tests.helpers.site import a_host, file_store

pytestmark = pytest.mark.root

TOP = Path(__file__).resolve().parents[2]
DOCUMENTED = [
    line.strip().removeprefix("ExecStart=")
    for line in (TOP / "images" / "README.md").read_text().splitlines()
    if re.search(r"(curl|wget) .*state=running", line)
]


def ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)


@pytest.fixture
def server_and_node() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces on one link: the far end has the MAC address of node1."""
    with ExitStack() as stack:
        server, node = (stack.enter_context(namespace(address)) for address in ("10.99.7.1", "10.99.9.1"))
        ends = ("type", "veth", "peer", "name", "e0", "netns", node.name)
        ip("link", "add", "name", "leg", "netns", server.name, *ends)
        ip("-n", node.name, "link", "set", "e0", "address", a_host().mac)
        for space, device, address in ((server, "leg", "10.99.8.1/24"), (node, "e0", "10.99.8.2/24")):
            ip("-n", space.name, "addr", "add", address, "dev", device)
            ip("-n", space.name, "link", "set", device, "up")
        ip("-n", node.name, "route", "add", "10.99.7.0/24", "via", "10.99.8.1")
        yield server, node


def test_every_way_is_documented() -> None:
    assert [line.split()[0] for line in DOCUMENTED] == ["curl", "wget", "busybox", "/usr/bin/curl"]


def test_the_documented_lines_make_a_node_run(
    server_and_node: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    server, node = server_and_node
    service = Service(server, tmp_path, "[calendar]\nenabled = false\n")  # the booking is long over
    with file_store(service.data_dir) as store:
        with store.transaction("anna") as change:
            change.put_hosts([a_host(1), a_host(2)])
        put_in_place(store)
    script = f"curl -fsS http://{server.address}:8080/boot/{a_host().mac}.ipxe"
    with service.serve():
        fetched = run(node, script)
        for line in DOCUMENTED:
            assert "10.99.0.2" in line
            run(node, line.replace("10.99.0.2", server.address))
        url = DOCUMENTED[0].split()[-1].replace("10.99.0.2", server.address)
        elsewhere = run(server, f"curl -fsS -d state=running {url}", status=22)
        run(server, script)  # somebody who looks at a node's script does not start it anew
    assert "slot 7" in fetched
    assert "403" in elsewhere  # the server's own address is no machine's
    with file_store(service.data_dir) as store:
        assert store.places()["node1"].state == "running"
        assert store.places()["node2"].state == "ready"
        texts = [kept.observation.text for kept in store.observations(host="node1")]
    assert texts[1:-1] == ["reported running, without a token"] * len(DOCUMENTED)
    assert texts[-1].startswith(f"had its script fetched by {server.address}, another machine: slot:7 ")
    refused = [json.loads(line)["event"] for line in service.log.splitlines() if "report_refused" in line]
    assert refused == ["node.report_refused"]


def run(space: Namespace, line: str, *, status: int = 0) -> str:
    """Run *line* as a machine would; return what it printed."""
    done = subprocess.run(
        space.command(*shlex.split(line)), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == status, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr
