"""STAGE_LUN on a target that knows a machine by one CHAP user: bookings that follow each other all log in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.drivers.lun import OntapSite
from bootd.drivers.lun.ontap import OntapLuns
from bootd.drivers.tools import Tools
from bootd.model import Deployment, DiskImage, JobKind, LunClone
from bootd.services import luns
from bootd.workers.stage_lun import StageLun
from tests.helpers.lunshop import IMAGE, OTHER, SIZE, LunShop
from tests.helpers.ontap_server import certificate, ontap_system
from tests.helpers.ontap_state import PASSWORD, SVM, USER, VOLUME, Ontap

NODES = ("node1", "node2")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[LunShop, Ontap]]:
    (tmp_path / "password").write_text(PASSWORD)
    pem = certificate(tmp_path)
    with ontap_system(pem) as (ontap, host):
        shop = LunShop({JobKind.STAGE_LUN: StageLun()}, tmp_path)
        where = OntapSite(host, USER, tmp_path / "password", SVM, VOLUME, ca_file=pem)
        shop.luns = OntapLuns(Tools(tmp_path / "ontap", clock=shop.clock), where)
        yield shop, ontap


def staged(shop: LunShop, image: DiskImage) -> Deployment:
    job = shop.book(image, NODES)
    shop.run_for(60)
    assert shop.job(job.id).state == "done", shop.job(job.id)
    return shop.deployment(job.deployment or 0)


def log_in(shop: LunShop, ontap: Ontap, clone: LunClone) -> None:
    secret = shop.store.secret(luns.SECRET)
    assert secret is not None
    chap = luns.chap_of(secret, clone.chap_user)
    ontap.log_in(clone.volume, clone.initiator, chap.user, chap.secret)


def test_a_node_whose_next_image_is_staged_still_logs_in_to_the_one_it_has(
    site: tuple[LunShop, Ontap],
) -> None:
    shop, ontap = site
    first = staged(shop, shop.image)
    shop.activate(first)
    second = staged(shop, shop.add_image(OTHER, "mesh/other"))
    clones = [shop.clone(node, number) for number in (first.id, second.id) for node in NODES]
    assert len({clone.volume for clone in clones}) == 4
    for clone, image in zip(clones, (IMAGE, IMAGE, OTHER, OTHER), strict=True):
        log_in(shop, ontap, clone)
        assert shop.content(clone.volume) == image.ljust(SIZE, b"\0")
    assert {clone.chap_user for clone in clones} == {"node.node1", "node.node2"}
    assert len({(clone.node, clone.lun) for clone in clones}) == 4
