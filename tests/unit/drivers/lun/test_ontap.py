"""ONTAP: what is not ours is left alone, what goes wrong is told in plain words, and never the password."""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bootd.drivers.lun import (
    Chap,
    LunFull,
    LunRefused,
    LunUnreachable,
    OntapSite,
    Options,
    Session,
    open_backend,
)
from bootd.drivers.lun.ontap import OntapLuns
from bootd.drivers.lun.ontap_rest import PIECE
from bootd.drivers.source import BytesSource
from bootd.drivers.tools import Tools
from tests.helpers.ontap_server import certificate, ontap_system
from tests.helpers.ontap_state import MEGABYTE, PASSWORD, SVM, TARGET, USER, VOLUME, Ontap

SIZE = 4 << 20
NODE1, NODE2 = (f"iqn.2026-01.org.example:node{n}" for n in (1, 2))
CHAP = Chap("node1", "secret-secret")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("ontap"))


@dataclass
class System:
    ontap: Ontap
    site: OntapSite
    folder: Path

    @property
    def luns(self) -> OntapLuns:
        """A backend of a new process."""
        return OntapLuns(Tools(self.folder), self.site)

    def calls(self, words: str) -> list[str]:
        return [call for call in self.ontap.calls if words in call]


@pytest.fixture
def system(tmp_path: Path, pem: Path) -> Iterator[System]:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    with ontap_system(pem) as (ontap, host):
        site = OntapSite(host, USER, tmp_path / "password", SVM, VOLUME, ca_file=pem)
        yield System(ontap, site, tmp_path / "luns")


# -- what is not ours --------------------------------------------------------------------------


def foreign(system: System, name: str, comment: str = "finance, do not touch") -> str:
    return str(system.ontap.add_lun({"name": name, "space": {"size": SIZE}, "comment": comment})["uuid"])


def test_luns_of_others_are_not_shown(system: System) -> None:
    for name in (f"/vol/{VOLUME}/lun1", f"/vol/{VOLUME}/bootd_a", f"/vol/{VOLUME}/bootd_b"):
        foreign(system, name)
    foreign(system, f"/vol/{VOLUME}/bootd_c", "bootd 12 size=512")
    assert system.luns.volumes() == []


def test_a_lun_of_others_that_has_our_name_is_neither_written_nor_deleted(system: System) -> None:
    uuid = foreign(system, f"/vol/{VOLUME}/bootd_a")
    luns = system.luns
    for call in (
        lambda: luns.create("a", SIZE),
        lambda: luns.write("a", BytesSource(b"x")),
        lambda: luns.export("a", NODE1, CHAP),
        lambda: luns.unexport("a", force=True),
        lambda: luns.delete("a"),
    ):
        with pytest.raises(LunRefused, match="bootd_a that is not bootd's"):
            call()
    assert system.ontap.contents[uuid] == bytes(SIZE)
    assert not [call for call in system.ontap.calls if not call.startswith("GET")]


def test_initiator_groups_and_credentials_of_others_are_left_as_they_are(system: System) -> None:
    system.luns.create("a", SIZE)
    system.luns.create("b", SIZE)
    chap = {"inbound": {"user": "theirs", "password": "theirs-theirs"}}
    theirs = {"initiator": NODE1, "authentication_type": "chap", "chap": chap}
    system.ontap.add_credentials(theirs)
    with pytest.raises(LunRefused, match=f"CHAP credentials of {NODE1} that are not bootd's"):
        system.luns.export("a", NODE1, CHAP)
    groups = list(system.ontap.igroups.values())
    assert groups == []
    name = "bootd_iqn-2026-01-org-example-node2"
    system.luns.export("b", NODE2, CHAP)
    full = next(iter(system.ontap.igroups.values()))["name"]
    assert full.startswith(name)
    system.luns.unexport("b")
    system.ontap.add_igroup({"name": full, "initiators": [{"name": NODE2}]})
    with pytest.raises(LunRefused, match=r"initiator group .* that is not bootd's"):
        system.luns.export("b", NODE2, CHAP)
    assert system.ontap.credentials[NODE1]["chap"] == chap


def test_a_machine_that_sees_a_lun_of_others_keeps_its_login(system: System) -> None:
    system.luns.create("a", SIZE)
    system.luns.export("a", NODE1, CHAP)
    foreign(system, f"/vol/{VOLUME}/lun1")
    group = next(iter(system.ontap.igroups))
    system.ontap.add_map({"lun": {"name": f"/vol/{VOLUME}/lun1"}, "igroup": {"uuid": group}})
    system.luns.unexport("a")
    assert system.ontap.seen_by(NODE1) == {f"/vol/{VOLUME}/lun1"}
    assert system.ontap.credentials[NODE1]["authentication_type"] == "chap"


def test_nothing_is_left_of_an_export_that_is_over(system: System) -> None:
    system.luns.create("a", SIZE)
    system.luns.export("a", NODE1, CHAP)
    assert len(system.ontap.igroups) == len(system.ontap.credentials) == len(system.ontap.maps) == 1
    system.luns.delete("a")
    left = (system.ontap.luns, system.ontap.igroups, system.ontap.credentials, system.ontap.maps)
    assert [len(one) for one in left] == [0, 0, 0, 0]


# -- exports -----------------------------------------------------------------------------------


def test_machines_are_told_the_target_of_the_svm_and_its_addresses_that_are_up(system: System) -> None:
    system.luns.create("a", SIZE)
    export = system.luns.export("a", NODE1, CHAP)
    assert (export.target, export.lun) == (TARGET, 0)
    assert export.portals == ("10.0.0.11:3260", "10.0.0.12:3260")
    luns = OntapLuns(Tools(system.folder), system.site, portals=["192.0.2.1:3260"])
    assert luns.volume("a").export == replace(export, portals=("192.0.2.1:3260",))


def test_credentials_are_there_before_a_machine_sees_anything(system: System) -> None:
    system.luns.create("a", SIZE)
    system.ontap.refuse_next("POST /protocols/san/lun-maps", 500)
    with pytest.raises(LunUnreachable, match=r"volume a: 127.0.0.1:.* says: internal error"):
        system.luns.export("a", NODE1, CHAP)
    with pytest.raises(PermissionError, match="authentication failure"):
        system.ontap.log_in("a", NODE1, "", "")
    with pytest.raises(PermissionError, match="no such LUN"):
        system.ontap.log_in("a", NODE1, CHAP.user, CHAP.secret)
    system.luns.export("a", NODE1, CHAP)  # what is there already is taken up
    system.ontap.log_in("a", NODE1, CHAP.user, CHAP.secret)
    assert len(system.ontap.igroups) == 1


@pytest.mark.parametrize("step", ["POST /protocols/san/iscsi/credentials", "PATCH /protocols/san/igroups"])
def test_an_export_that_was_broken_off_is_done_by_the_next_call(system: System, step: str) -> None:
    system.luns.create("a", SIZE)
    system.ontap.refuse_next(step, 503)
    with pytest.raises(LunUnreachable):
        system.luns.export("a", NODE1, CHAP)
    assert system.luns.volume("a").export is None
    system.luns.export("a", NODE1, CHAP)
    system.ontap.log_in("a", NODE1, CHAP.user, CHAP.secret)


def test_a_machine_has_one_chap_user_for_all_its_volumes(system: System) -> None:
    for name in "ab":
        system.luns.create(name, SIZE)
    system.luns.export("a", NODE1, CHAP)
    with pytest.raises(LunRefused, match=f"knows {NODE1} by one CHAP user, node1 for volume a too"):
        system.luns.export("b", NODE1, replace(CHAP, user="b"))
    assert OntapLuns.one_login_each_machine


def test_a_session_counts_for_each_volume_of_its_machine(system: System) -> None:
    for name in "ab":
        system.luns.create(name, SIZE)
        system.luns.export(name, NODE1, CHAP)
    system.luns.create("c", SIZE)
    system.luns.export("c", NODE2, replace(CHAP, user="node2"))
    system.ontap.log_in("a", NODE1, CHAP.user, CHAP.secret)
    assert system.luns.sessions() == [Session(name, NODE1, "10.0.0.21") for name in "ab"]
    assert system.luns.sessions("c") == []


# -- contents ----------------------------------------------------------------------------------


def test_an_image_goes_in_pieces_that_the_api_takes_and_zeros_are_not_sent(system: System) -> None:
    system.luns.create("a", SIZE)
    image = b"x" * PIECE + bytes(2 * PIECE) + b"end"
    system.luns.write("a", BytesSource(image, chunk=70_001))
    assert len(system.calls("PATCH /storage/luns")) == 2 + 2  # two comments, two pieces
    assert PIECE <= MEGABYTE
    assert b"".join(system.luns.read("a")) == image.ljust(SIZE, b"\0")


def test_a_second_image_begins_on_a_blank_and_leaves_none_behind(system: System) -> None:
    system.luns.create("a", SIZE)
    system.luns.write("a", BytesSource(b"\xff" * SIZE))
    system.ontap.refuse_next("PATCH /storage/luns", 500)
    with pytest.raises(LunUnreachable):
        system.luns.write("a", BytesSource(b"new"))
    assert system.luns.volume("a").is_whole  # the first word to ONTAP was refused
    uuid = next(iter(system.ontap.luns))
    blank = {
        "name": f"/vol/{VOLUME}/bootd_a_blank",
        "space": {"size": SIZE},
        "comment": "bootd 1 blank for a",
    }
    system.ontap.add_lun(blank)  # by somebody who was killed
    assert [one.name for one in system.luns.volumes()] == ["a"]
    system.luns.write("a", BytesSource(b"new"))
    assert b"".join(system.luns.read("a")) == b"new".ljust(SIZE, b"\0")
    assert list(system.ontap.luns) == [uuid]


def test_what_was_half_written_is_known_to_the_next_process(system: System) -> None:
    system.luns.create("a", SIZE)

    def die(octets: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        system.luns.write("a", BytesSource(b"x" * SIZE), die)
    assert not system.luns.volume("a").is_whole
    system.luns.write("a", BytesSource(b"y"))
    assert b"".join(system.luns.read("a")) == b"y".ljust(SIZE, b"\0")


def test_a_lun_that_ontap_rounded_up_is_told_as_it_was_asked_for(system: System) -> None:
    system.luns.create("a", SIZE)
    uuid = next(iter(system.ontap.luns))
    system.ontap.contents[uuid] += bytes(8192)
    assert system.luns.create("a", SIZE).size == SIZE
    assert sum(map(len, system.luns.read("a"))) == SIZE


def test_more_volumes_than_a_page_are_all_told(system: System) -> None:
    for n in range(8):
        system.luns.create(f"v{n}", 512)
    assert [one.name for one in system.luns.volumes()] == [f"v{n}" for n in range(8)]


# -- what goes wrong -----------------------------------------------------------------------------


def test_a_certificate_of_nobody_we_know_is_refused_unless_that_is_asked_for(system: System) -> None:
    strict = OntapLuns(Tools(system.folder), replace(system.site, ca_file=None))
    with pytest.raises(LunUnreachable, match="certificate verify failed"):
        strict.volumes()
    assert system.ontap.calls == []
    careless = OntapLuns(Tools(system.folder), replace(system.site, ca_file=None, verify=False))
    assert careless.volumes() == []


def test_a_wrong_password_is_refused_with_the_users_name(system: System) -> None:
    assert system.site.password_file is not None
    system.site.password_file.write_text("wrong")
    with pytest.raises(LunRefused, match=r"not authorized.* luns.ontap.user is 'bootd'"):
        system.luns.volumes()


def test_a_password_that_was_changed_is_read_again(system: System) -> None:
    luns, file = system.luns, system.site.password_file
    assert file is not None
    luns.create("a", SIZE)
    file.write_text("not yet the new one")
    system.ontap.refuse_next("GET /storage/luns", 401, "User is not authorized.", "6691623")
    for _ in range(2):  # the old one, then the one in the file
        with pytest.raises(LunRefused, match="not authorized"):
            luns.volumes()
    file.write_text(PASSWORD)
    assert [one.name for one in luns.volumes()] == ["a"]


def test_no_room_is_told_as_such(system: System) -> None:
    words = "There is not enough space in the volume."
    system.ontap.refuse_next("POST /storage/luns", 400, words, "13565952")
    with pytest.raises(LunFull, match="not enough space in the volume"):
        system.luns.create("a", SIZE)


def test_a_system_that_is_away_is_unreachable_and_not_at_fault(system: System) -> None:
    away = OntapLuns(Tools(system.folder), replace(system.site, host="127.0.0.1:1"))
    with pytest.raises(LunUnreachable, match=r"127.0.0.1:1 does not answer") as caught:
        away.volumes()
    assert "refused" in str(caught.value)
    assert "object at 0x" not in str(caught.value)


def test_an_svm_that_is_not_there_is_named(system: System) -> None:
    other = OntapLuns(Tools(system.folder), replace(system.site, svm="svm9"))
    with pytest.raises(LunRefused, match="The SVM was not found"):
        other.create("a", SIZE)


def test_what_is_not_configured_is_all_named(tmp_path: Path) -> None:
    with pytest.raises(LunRefused, match=r"luns.ontap.password_file, luns.ontap.svm, luns.ontap.volume"):
        open_backend("ontap", Tools(tmp_path), Options(ontap=OntapSite("host", "user")))


def test_without_the_library_the_extra_is_named(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "netapp_ontap", None)
    with pytest.raises(LunRefused, match="pip install 'bootd-appliance\\[ontap\\]'"):
        open_backend("ontap", Tools(system.folder), Options(ontap=system.site))


def test_neither_password_nor_secret_is_logged_or_told(
    system: System, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    system.luns.create("a", SIZE)
    system.luns.export("a", NODE1, CHAP)
    system.ontap.refuse_next("PATCH /protocols/san/iscsi/credentials", 400, "no")
    with pytest.raises(LunRefused) as caught:
        system.luns.export("a", NODE1, replace(CHAP, secret="newer-secret"))
    told = caplog.text + str(caught.value) + repr(caught.value) + repr(system.luns.volumes())
    told += "".join(one["comment"] for one in system.ontap.igroups.values())
    assert caught.value.__cause__ is None
    assert [word for word in (PASSWORD, CHAP.secret, "newer-secret") if word in told] == []
