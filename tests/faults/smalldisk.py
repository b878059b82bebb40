"""A disk of a few megabytes that only one gateway has: a tmpfs in a mount namespace of its own."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

_MOUNT = 'mount -t tmpfs -o size="$0",mode=0700 tmpfs "$1" && shift && exec "$@"'
_WAYS = (("unshare", "--mount"), ("unshare", "--user", "--map-root-user", "--mount"))


class NoSmallDisk(AssertionError):
    """Neither root nor an unprivileged user may mount here."""


def small_disk(place: Path, size: str) -> list[str]:
    """The command under which a gateway has a disk of this size at `place`, an empty directory.

    As root by right, else as root of a user namespace.
    """
    place.mkdir(parents=True, exist_ok=True)
    for way in _WAYS if os.geteuid() == 0 else _WAYS[1:]:
        command = [*way, "sh", "-c", _MOUNT, size, str(place)]
        if _works([*command, "true"]):
            return command
    raise NoSmallDisk(
        "`unshare --user --map-root-user --mount` is refused: allow user namespaces, or run as root"
    )


def _works(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def fill(folder: Path) -> Path:
    """Take all the space there is with one file, which is returned."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for step in (1 << 16, 4096, 1):
            try:
                while True:
                    file.write(bytes(step))
            except OSError:
                continue  # less than this is left
    return ballast
