"""What the calendar's workers are given: settings and drivers, as the configuration says."""

import shutil
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TypeVar

from bootd.boot.places import Chap
from bootd.clock import Clock, utc_now
from bootd.config import Config
from bootd.darkstore.tree import Tree
from bootd.drivers.lun import Broker, LunBackend, OntapSite, Options, Way, direct, open_backend
from bootd.drivers.lun.tgtd import socket_path
from bootd.drivers.power import Powers
from bootd.drivers.tools import Tools
from bootd.drivers.transport import Network, Transport, open_transport
from bootd.model import LunClone
from bootd.services import luns
from bootd.store import Store
from bootd.telemetry import Emit
from bootd.workers import keys
from bootd.workers.work import Context, GivenUp

T = TypeVar("T")


def chap_of(store: Store) -> Callable[[LunClone], Chap]:
    """Return how nodes log in to their clones; the secret is the site's and made at the first call."""
    secret = store.secret(luns.SECRET)
    if secret is None:
        with store.transaction("bootd", "secret of the LUNs") as change:
            secret = change.make_secret(luns.SECRET)

    def chap(clone: LunClone) -> Chap:
        derived = luns.chap_of(secret, clone.chap_user)
        return Chap(derived.user, derived.secret)

    return chap


def make_way(config: Config, user: str, stack: ExitStack | AsyncExitStack) -> Way:
    """Return how tgtd is reached once we are *user*; "": we stay who we are.

    Where it takes a broker, that is started now, and ended with *stack*.
    """
    if config["luns.backend"] != "tgt" or not config["calendar.enabled"] or not user:
        return direct
    broker = Broker(socket_path(config["luns.control_port"]), luns_folder(config), user)
    stack.callback(broker.close)
    return broker


def luns_folder(config: Config) -> Path:
    """Return where the volumes are that lie on this machine."""
    return config.data_dir / "drivers" / "luns"


def has_no_volumes(config: Config) -> bool:
    """Tell whether volumes would lie on this machine, and none was ever made: nothing is made by looking."""
    is_local = config["luns.backend"] not in ("", "ontap")
    return is_local and not luns_folder(config).is_dir()


def luns_room(config: Config) -> int | None:
    """Return the octets left where volumes lie; None where they lie elsewhere, or nowhere yet."""
    if config["luns.backend"] == "ontap" or has_no_volumes(config):
        return None
    try:
        return shutil.disk_usage(luns_folder(config)).free
    except OSError:
        return None


def ontap_site(config: Config) -> OntapSite:
    """Return what the configuration says of ONTAP, all of it or not."""
    files = {name: config[f"luns.ontap.{name}"] for name in ("password_file", "ca_file")}
    paths = {name: Path(path) if path else None for name, path in files.items()}
    return OntapSite(
        host=config["luns.ontap.host"],
        user=config["luns.ontap.user"],
        password_file=paths["password_file"],
        svm=config["luns.ontap.svm"],
        volume=config["luns.ontap.volume"],
        verify=config["luns.ontap.verify"],
        ca_file=paths["ca_file"],
    )


def dark_tree(config: Config) -> Tree:
    """Return the dark store."""
    return Tree(config.dark_store, must_be_mount=config["images.dark_store_mount"])


class Outfit:
    """Each driver is made once, when it is first needed, and shared by all threads.

    *emit* and *committed* are called on the workers' threads.
    """

    def __init__(
        self,
        config: Config,
        emit: Emit,
        *,
        committed: Callable[[], None] = lambda: None,
        clock: Clock = utc_now,
        way_to_tgtd: Way = direct,
        network: Network | None = None,
        attends: Callable[[str], bool] = lambda node: False,
    ) -> None:
        self._attends = attends
        self._way_to_tgtd = way_to_tgtd
        self._config, self._emit, self._committed, self._clock = config, emit, committed, clock
        self._network = network
        self._settings = keys.settings(config.__getitem__)
        self._powers = Powers(self._tools("power"))
        self._luns: LunBackend | None = None
        self._transport: Transport | None = None
        self._lock = threading.Lock()

    def __call__(self, store: Store, holder: str) -> Context:
        """Return what the worker *holder* works with on *store*."""
        config = self._config
        return Context(
            store=store,
            clock=self._clock,
            holder=holder,
            settings=self._settings,
            powers=self._powers,
            luns=self.luns,
            transport=self.transport,
            tree=dark_tree(config),
            scratch=config.data_dir / "unpacked",
            emit=self._emit,
            committed=self._committed,
            attends=self._attends,
        )

    def luns(self) -> LunBackend:
        """Return the LUN backend; raises `GivenUp` where the site has none."""
        with self._lock:
            self._luns = self._luns or self._open("luns.backend", self._open_luns, "luns")
            return self._luns

    def transport(self) -> Transport:
        """Return the transport; raises `GivenUp` where the site has none."""
        with self._lock:
            key = "imaging.transport"
            self._transport = self._transport or self._open(key, self._open_transport, "imaging")
            return self._transport

    def _open_luns(self, name: str, tools: Tools) -> LunBackend:
        portals, port = tuple(self._config["luns.portals"]), self._config["luns.control_port"]
        return open_backend(name, tools, Options(portals, port, self._way_to_tgtd, ontap_site(self._config)))

    def _open_transport(self, name: str, tools: Tools) -> Transport:
        return open_transport(name, tools, self._network)

    def _open(self, key: str, make: Callable[[str, Tools], T], folder: str) -> T:
        name = self._config[key]
        if not name:
            raise GivenUp(f"this site has none: {key} is empty in {self._config.file or 'the configuration'}")
        return make(name, self._tools(folder))

    def _tools(self, folder: str) -> Tools:
        return Tools(self._config.data_dir / "drivers" / folder, clock=self._clock)
