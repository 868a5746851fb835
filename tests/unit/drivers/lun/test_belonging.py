"""Files that a command makes as root in bootd's folder."""

import os
import pwd
from pathlib import Path

import pytest

from bootd.drivers.lun import belonging
from bootd.drivers.lun.fake import FakeLuns
from bootd.drivers.tools import Tools
from tests.helpers.namespace import need_root


def test_what_is_made_is_for_its_owner_alone_even_if_it_was_for_all(tmp_path: Path) -> None:
    path = tmp_path / "new"
    path.touch(mode=0o666)
    os.close(belonging.make(path, os.O_WRONLY))
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        belonging.make(tmp_path / "link", os.O_WRONLY | os.O_TRUNC)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.root
def test_what_root_does_to_volumes_leaves_them_with_the_owner_of_their_folder(tmp_path: Path) -> None:
    need_root()
    user = pwd.getpwnam("nobody")
    luns = FakeLuns(Tools(tmp_path / "luns"))
    os.chown(tmp_path / "luns", user.pw_uid, user.pw_gid)
    luns.create("a", 4096)
    luns.clone("a", "b")
    luns.unexport("b")
    found = {path.name: path.stat().st_uid for path in (tmp_path / "luns").iterdir()}
    assert found == dict.fromkeys(["a.img", "a.json", "b.img", "b.json", ".locks"], user.pw_uid)
