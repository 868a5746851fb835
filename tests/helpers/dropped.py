"""A ``bootd serve`` that becomes an ordinary user, also where this Python lies out of that user's reach."""

import os
import shlex
import site
import sys
from pathlib import Path

from tests.helpers.namespace import Namespace
from tests.helpers.service import Service

USER = "nobody"  # every Debian has it
_ROOT = Path(__file__).parent.parent.parent


class DroppedService(Service):
    """Python is mounted a second time in *folder*, for the daemon alone; the user must get there."""

    def __init__(self, space: Namespace, folder: Path, extra: str = "") -> None:
        super().__init__(space, folder, extra)
        self.config.write_text(self.config.read_text().replace('user = ""', f'user = "{USER}"'))
        self._python = folder / "python"
        self._python.mkdir()

    def argv(self, *words: str) -> list[str]:
        if words != ("serve",):
            return super().argv(*words)
        program = f"{self._python}/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
        path = os.pathsep.join([str(_ROOT), *site.getsitepackages()])
        command = shlex.join(["env", f"PYTHONPATH={path}", program, *super().argv(*words)[1:]])
        mount = shlex.join(["mount", "--bind", sys.base_prefix, str(self._python)])
        return ["sh", "-c", f"{mount} && exec {command}"]
