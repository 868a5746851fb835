"""Why an image cannot be unpacked, beside what is wrong with the image itself."""

from bootd.errors import BootdError


class MissingTool(BootdError):
    """A program that is needed is not installed; the message names its Debian package."""

    code = "missing-tool"


class NoRoom(BootdError):
    """The file system of the work folder has no room for the unpacked disk."""

    code = "no-room"


class ToolFailed(BootdError):
    """A program ended badly; *words* are its last ones."""

    code = "tool-failed"

    def __init__(self, tool: str, status: int, words: str) -> None:
        ended = f"ended by signal {-status}" if status < 0 else f"ended with status {status}"
        super().__init__(f"{tool} {ended}: {words or 'it said nothing'}")
        self.tool, self.status, self.words = tool, status, words
