"""What workers are given: drivers as the configuration names them, each made once."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from bootd import config
from bootd.boot.places import Chap
from bootd.drivers.lun import Broker, OntapSite, direct
from bootd.drivers.lun.fake import FakeLuns
from bootd.drivers.lun.lio import LioLuns
from bootd.drivers.lun.ontap import OntapLuns
from bootd.drivers.lun.tgt import TgtLuns
from bootd.drivers.transport.fake import FakeTransport
from bootd.events import Event
from bootd.outfit import Outfit, chap_of, make_way
from bootd.workers.work import GivenUp
from tests.helpers.deeds import a_clone
from tests.helpers.site import memory_store

FAKES = '[luns]\nbackend = "fake"\n[imaging]\ntransport = "fake"\nmemory_image = "writer"\n'


def outfit(folder: Path, text: str = "", *, events: list[Event] | None = None) -> Outfit:
    text = f'[server]\ndata_dir = "{folder}"\n{text}'
    return Outfit(config.parse(text, Path("/etc/bootd/bootd.toml")), (events or []).append)


def test_drivers_that_are_named_are_made_once_for_all_workers(tmp_path: Path) -> None:
    made = outfit(tmp_path, FAKES)
    first, second = (made(memory_store(), holder) for holder in ("first", "second"))
    assert isinstance(first.luns(), FakeLuns)
    assert isinstance(first.transport(), FakeTransport)
    assert first.luns() is second.luns()
    assert first.transport() is second.transport()
    assert first.powers is second.powers
    assert (first.holder, second.holder) == ("first", "second")


@pytest.mark.parametrize(("driver", "key"), [("luns", "luns.backend"), ("transport", "imaging.transport")])
def test_driver_that_is_not_named_ends_a_job_with_the_key_to_set(
    tmp_path: Path, driver: str, key: str
) -> None:
    context = outfit(tmp_path)(memory_store(), "here")
    with pytest.raises(GivenUp, match=f"{key} is empty in /etc/bootd/bootd.toml"):
        getattr(context, driver)()


def test_settings_and_dark_store_are_the_configured_ones(tmp_path: Path) -> None:
    mounted = '[images]\ndark_store = "/mnt/dark"\ndark_store_mount = true\n'
    context = outfit(tmp_path, FAKES + mounted)(memory_store(), "here")
    assert context.settings.imager == "writer"
    assert (context.tree.root, context.tree.must_be_mount) == (Path("/mnt/dark"), True)


def test_what_the_site_says_of_its_target_reaches_the_driver(tmp_path: Path) -> None:
    text = '[luns]\nbackend = "tgt"\nportals = ["10.0.0.2:3260", "10.1.0.2:3260"]\ncontrol_port = 7\n'
    luns = outfit(tmp_path, text).luns()
    assert isinstance(luns, TgtLuns)
    assert luns._addresses() == ("10.0.0.2:3260", "10.1.0.2:3260")
    assert luns._tgtd.path.endswith(".7")
    assert luns._tgtd._way is direct


def test_what_the_site_says_of_ontap_reaches_the_driver(tmp_path: Path) -> None:
    text = (
        '[luns]\nbackend = "ontap"\n[luns.ontap]\nhost = "10.0.0.9"\nuser = "bootd"\n'
        'password_file = "/etc/bootd/ontap"\nsvm = "svm1"\nvolume = "vol1"\nca_file = "/etc/bootd/ca.pem"\n'
    )
    luns = outfit(tmp_path, text).luns()
    assert isinstance(luns, OntapLuns)
    files = Path("/etc/bootd/ontap"), Path("/etc/bootd/ca.pem")
    assert luns._site == OntapSite("10.0.0.9", "bootd", files[0], "svm1", "vol1", ca_file=files[1])
    assert luns._site.verify


def test_linuxs_own_target_listens_on_the_ports_of_the_portals(tmp_path: Path) -> None:
    text = 'user = ""\n[luns]\nbackend = "lio"\nportals = ["10.0.0.2:3261"]\n'
    luns = outfit(tmp_path, text).luns()
    assert isinstance(luns, LioLuns)
    assert luns._ports == [3261]


@pytest.mark.parametrize(
    ("text", "user"),
    [
        pytest.param('[luns]\nbackend = "tgt"\n', "", id="who stays root"),
        pytest.param('[luns]\nbackend = "fake"\n', "nobody", id="no tgtd"),
        pytest.param('[luns]\nbackend = "tgt"\n[calendar]\nenabled = false\n', "nobody", id="no calendar"),
    ],
)
def test_broker_is_started_for_nobody_but_an_ordinary_user_with_tgtd(
    tmp_path: Path, text: str, user: str
) -> None:
    with ExitStack() as stack:
        made = config.parse(f'[server]\ndata_dir = "{tmp_path}"\n{text}', None)
        assert make_way(made, user, stack) is direct


def test_broker_ends_with_the_stack(tmp_path: Path) -> None:
    made = config.parse(f'[server]\ndata_dir = "{tmp_path}"\n[luns]\nbackend = "tgt"\n', None)
    with ExitStack() as stack:
        way = make_way(made, "nobody", stack)
        assert isinstance(way, Broker)
        assert Path(f"/proc/{way.pid}").exists()
    assert not Path(f"/proc/{way.pid}").exists()


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    outfit(tmp_path, FAKES)(memory_store(), "here")
    assert list(tmp_path.iterdir()) == []


def test_login_of_a_clone_is_its_own_and_the_same_after_a_restart() -> None:
    store = memory_store()
    chap, again = chap_of(store), chap_of(store)
    logins = [chap(a_clone(node)) for node in ("node1", "node2")]
    assert logins == [again(a_clone(node)) for node in ("node1", "node2")]
    assert all(isinstance(login, Chap) for login in logins)
    assert logins[0].user != logins[1].user
    assert logins[0].secret != logins[1].secret
    assert chap_of(memory_store())(a_clone()).secret != logins[0].secret
