"""Becoming another user: proved in processes of their own, since there is no way back."""

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bootd import privileges
from bootd.privileges import CannotBecome
from tests.helpers.namespace import need_root

pytestmark = pytest.mark.root

NOBODY = "nobody"  # every Debian has it
READABLE = "/etc/passwd"  # to everybody, wherever this checkout lies

# Becomes the user and reports as JSON what it is then and what it may still do.
CHILD = """
import json, os, sys
from pathlib import Path
from bootd import privileges
owned, program = json.loads(sys.argv[1])

def may(what):
    try:
        what()
    except PermissionError:
        return False
    return True

privileges.drop("nobody", [Path(path) for path in owned], program=program)
print(json.dumps({
    "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(),
    "is_root": privileges.is_root(),
    "becomes_root": may(lambda: os.setuid(0)), "becomes_root_effectively": may(lambda: os.seteuid(0)),
    "takes_groups": may(lambda: os.setgroups([0])),
    "reads_shadow": may(lambda: Path("/etc/shadow").read_bytes()),
}))
"""


@pytest.fixture(autouse=True)
def _as_root() -> None:
    need_root()


def dropped(*owned: Path, program: str = READABLE) -> "subprocess.CompletedProcess[str]":
    root = Path(privileges.__file__).parent.parent
    return subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps([list(map(str, owned)), [program]])],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def report(*owned: Path) -> dict[str, Any]:
    done = dropped(*owned)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_process_becomes_the_user_in_every_respect_and_cannot_come_back() -> None:
    nobody = pwd.getpwnam(NOBODY)
    assert report() == {
        "uids": [nobody.pw_uid] * 3,
        "gids": [nobody.pw_gid] * 3,
        "groups": os.getgrouplist(NOBODY, nobody.pw_gid),
        "is_root": False,
        "becomes_root": False,
        "becomes_root_effectively": False,
        "takes_groups": False,
        "reads_shadow": False,
    }


def test_files_and_folders_are_given_to_the_user_and_links_not_followed(tmp_path: Path) -> None:
    kept, given, link = tmp_path / "kept", tmp_path / "given", tmp_path / "link"
    kept.touch()
    given.mkdir()
    link.symlink_to(kept)
    report(given, link)
    nobody = pwd.getpwnam(NOBODY)
    assert (given.stat().st_uid, given.stat().st_gid) == (nobody.pw_uid, nobody.pw_gid)
    assert link.lstat().st_uid == nobody.pw_uid
    assert kept.stat().st_uid == 0


def test_everything_below_a_folder_is_named_and_no_link_followed(tmp_path: Path) -> None:
    (tmp_path / "drivers" / "luns").mkdir(parents=True)
    (tmp_path / "drivers" / "luns" / "a.img").touch()
    (tmp_path / "drivers" / "link").symlink_to("/etc")
    found = {str(path.relative_to(tmp_path)) for path in privileges.below(tmp_path / "drivers")}
    assert found == {"drivers", "drivers/luns", "drivers/luns/a.img", "drivers/link"}
    assert list(privileges.below(tmp_path / "none")) == []
    assert list(privileges.below(tmp_path / "drivers" / "link")) == []


def test_file_that_is_gone_by_now_stops_nothing(tmp_path: Path) -> None:
    assert report(tmp_path / "bootd.db-wal")["is_root"] is False


def test_program_the_user_may_not_read_is_refused_and_nothing_changed(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    program = folder / "bootd.py"
    program.touch(mode=0o644)
    before = os.getresuid(), os.getresgid(), os.getgroups()
    with pytest.raises(CannotBecome, match=f"it may not read {program}"):
        privileges.drop(NOBODY, [program], program=[str(program)])
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before
    assert program.stat().st_uid == 0


def test_user_nobody_has_heard_of_is_refused() -> None:
    assert not privileges.known("no-such-user")
    with pytest.raises(CannotBecome, match="there is no such user; or set server"):
        privileges.drop("no-such-user", [])


def test_this_process_is_root_and_knows_the_user() -> None:
    assert privileges.is_root()
    assert privileges.known(NOBODY)


def test_without_the_right_to_become_anybody_the_reason_is_said(tmp_path: Path) -> None:
    argv = ["setpriv", "--bounding-set=-setuid,-setgid", "--inh-caps=-setuid,-setgid", sys.executable, "-c"]
    done = subprocess.run(
        [*argv, CHILD, json.dumps([[], [READABLE]])],
        env=os.environ | {"PYTHONPATH": str(Path(privileges.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "CannotBecome: cannot become user 'nobody': [Errno 1] Operation not permitted" in done.stderr
