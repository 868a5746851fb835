"""What a daemon stands on: its folders, who it becomes, and the secrets that root alone may read."""

from contextlib import AsyncExitStack
from pathlib import Path

from bootd import privileges
from bootd.config import Config
from bootd.errors import Refused
from bootd.events import PrivilegesDropped, PrivilegesKept
from bootd.ports import hold
from bootd.telemetry import Emit

_TOKEN_LENGTH = 16  # characters at least


def make_folders(config: Config, stack: AsyncExitStack) -> None:
    """Make what is missing below the data folder and hold it against a second daemon; raises `Refused`."""
    data = config.data_dir
    own = () if config["tftp.root"] else (config.tftp_root,)
    try:
        for folder in (data, data / "files", data / "templates", *own):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        hold(data, stack)
    except OSError as error:
        way_out = "start bootd as root, or set server.data_dir"
        raise Refused(f"cannot make {error.filename}: {error.strerror}; {way_out}") from error


def user(config: Config) -> str:
    """Return whom to become, "" where we stay who we are."""
    wanted: str = config["server.user"]
    return wanted if wanted and privileges.is_root() and privileges.known(wanted) else ""


def drop_privileges(config: Config, emit: Emit) -> None:
    """Become the user of the configuration, and give it what it must be able to write."""
    whom, data = user(config), config.data_dir
    if not whom:
        if config["server.user"] and privileges.is_root():
            emit(PrivilegesKept(user=config["server.user"]))
        return
    database = config.database
    elsewhere = [] if database.parent == data else [*database.parent.glob(f"{database.name}*")]
    # what commands made as root before we first ran: volumes of LUNs, and images where they are here
    dark = [config.dark_store] if config.dark_store.parent == data else []
    whole = [data / "drivers", data / "unpacked", *dark]
    inside = [path for folder in whole for path in privileges.below(folder)]
    privileges.drop(whom, [data, *data.iterdir(), *inside, *elsewhere])
    emit(PrivilegesDropped(user=whom))


def admin_token(config: Config) -> str | None:
    """Return what TCP admins must know; None where only loopback listens and no file is named."""
    name = config["http.admin.token_file"]
    if not name:
        return None
    try:
        token = Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"http.admin.token_file: cannot read {name}: {error}") from error
    if len(token) < _TOKEN_LENGTH:
        raise Refused(f"http.admin.token_file: {name} must hold at least {_TOKEN_LENGTH} characters")
    return token
