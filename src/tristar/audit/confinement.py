"""What a process that reads the log gives up first: priority, time, memory, and every way to write."""

import ctypes
import os
import resource
import signal
from typing import Final

NICE: Final = 5
_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_ABI: Final = 1
_NO_NEW_PRIVS: Final = 38
_READ_FILE_AND_DIRECTORY: Final = 0b1100


class _Ruleset(ctypes.Structure):
    """`struct landlock_ruleset_attr` (linux/landlock.h)."""

    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64))


def give_way() -> None:
    """Let everybody else go first."""
    os.nice(NICE)


def bound(seconds: float, memory_mb: int) -> None:
    """Die after so long; hold no more private memory than this."""
    signal.alarm(max(1, round(seconds)))
    limit = memory_mb << 20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def deny_growth() -> None:
    """From now on no file can be written to by this process, whatever the kernel."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def deny_writing() -> bool:
    """Have the kernel refuse this process every change to a file system, every program and TCP connection.

    Whether it does: Landlock came with Linux 5.13, its part for TCP with 6.7. Call it before there are
    threads; it holds for those that are made later, and cannot be undone.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(_CREATE_RULESET, None, 0, _ABI)
    if abi < 1:
        return False
    bits = {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)
    rules = _Ruleset(((1 << bits) - 1) & ~_READ_FILE_AND_DIRECTORY, 0b11)
    size = ctypes.sizeof(rules) if abi >= 4 else 8
    descriptor = libc.syscall(_CREATE_RULESET, ctypes.byref(rules), size, 0)
    if descriptor < 0:
        return False
    try:
        libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(libc.syscall(_RESTRICT_SELF, descriptor, 0) == 0)
    finally:
        os.close(descriptor)
