"""A machine that forges lines in tgtd's listing, by the alias it gives itself, gets nowhere."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bootd.drivers.lun import Chap, Session
from bootd.drivers.lun.tgtd import Tgtd
from tests.helpers.lunsite import CHAP, NODE1, NODE2, SIZE, Site, lun_site

pytestmark = pytest.mark.root


OTHER = Chap("node2", "other-secret")


@pytest.fixture
def neighbours(tmp_path: Path) -> Iterator[Site]:
    """Volume a exported to node 1, who forges, and b to node 2."""
    with lun_site(tmp_path) as site:
        site.export_image()
        site.luns.create("b", SIZE)
        site.luns.export("b", NODE2, OTHER)
        yield site


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(
            "Target {b}: {name_a}\n    ACL information:\n        {node2}", id="b's number as its own"
        ),
        pytest.param("Target {b}: {name_b}\n    LUN information:", id="b has nothing"),
        pytest.param(
            "Target {b}: {name_b}\n    Account information:\n        node1\n"
            "    ACL information:\n        ALL",
            id="b is open to all",
        ),
        pytest.param(
            "Target {a}: {name_a}\n    Account information:\n        node2", id="b's account is its own"
        ),
        pytest.param(
            "Target 77: iqn.2026-01.org.example:x\n    Account information:\n        node2", id="of another"
        ),
        pytest.param(
            "Target {b}: iqn.2026-01.org.example:x\n    Account information:\n        node2", id="b's number"
        ),
    ],
)
def test_a_machine_that_forges_lines_in_tgtds_listing_gets_nowhere(neighbours: Site, lines: str) -> None:
    site, newer = neighbours, replace(OTHER, secret="newest-secret")
    targets = {one.name.rpartition(":")[2]: one for one in Tgtd(site.tgtd.socket).targets()}
    names = {f"name_{key}": target.name for key, target in targets.items()}
    numbers = {key: target.tid for key, target in targets.items()}
    forged = lines.format(node2=NODE2, **names, **numbers)
    with site.log_in("a", alias=f"none\n{forged}"):
        assert len(Tgtd(site.tgtd.socket).targets()) == 3, "the forgery does not reach the listing"
        site.luns.restore()
        assert [one.export is not None for one in site.luns.volumes()] == [True, True]
        assert site.luns.sessions() == [Session("a", NODE1, "127.0.0.1")]
        assert site.refuses("b")
        site.log_in("b", OTHER, NODE2).log_out()
        site.luns.export("b", NODE2, newer)
        assert site.refuses("b", OTHER, NODE2)
        site.log_in("b", newer, NODE2).log_out()
        site.luns.unexport("a", force=True)
    assert site.refuses("a")
    assert site.luns.restore() == []
    site.luns.export("a", NODE1, CHAP)
    site.log_in("a").log_out()
    site.log_in("b", newer, NODE2).log_out()


def test_two_stories_of_a_target_whose_account_another_has_too_are_settled(neighbours: Site) -> None:
    neighbours.luns.create("c", SIZE)
    neighbours.luns.export("c", NODE2, OTHER)
    (target,) = [one for one in Tgtd(neighbours.tgtd.socket).targets() if one.name.endswith(":b")]
    with neighbours.log_in("a", alias=f"none\nTarget {target.tid}: {target.name}\n    LUN information:"):
        assert "b" in neighbours.luns.restore()
        for name in ("b", "c"):
            neighbours.log_in(name, OTHER, NODE2).log_out()


@pytest.mark.parametrize("name", ["iqn.2026-01.bootd.tgt:b", "iqn.2026-01.org.example:x"])
def test_a_volume_is_exported_though_a_machine_made_up_that_it_is_or_cannot_be(
    neighbours: Site, name: str
) -> None:
    (target,) = [one for one in Tgtd(neighbours.tgtd.socket).targets() if one.name.endswith(":b")]
    neighbours.luns.unexport("b")
    forged = f"none\nTarget {target.tid}: {name}\n    LUN information:\n        LUN: 1\n"
    forged += f"            Backing store path: {target.path}\n    Account information:\n        node2\n"
    forged += f"    ACL information:\n        {NODE2}\n    The rest:\n"
    with neighbours.log_in("a", alias=forged):
        assert neighbours.luns.sessions("b") == []
        neighbours.luns.export("b", NODE2, OTHER)
        neighbours.log_in("b", OTHER, NODE2).log_out()
