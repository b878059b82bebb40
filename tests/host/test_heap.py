"""What a serving process gives back to the system."""

import subprocess
import sys

PROBE = """
import ctypes, sys
from tristar import heap

class Usage(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd a b c d e".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Usage
if sys.argv[1:]:
    heap.settle()
bytes(16 << 20)  # freed at once: glibc takes its size for the bound from here on
before = libc.mallinfo2().hblks
kept = bytes(8 << 20)
print(libc.mallinfo2().hblks - before)
"""


def mapped(*arguments: str) -> int:
    """How many mappings of its own a block of 8 MiB gets after one of 16 MiB was freed."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_a_large_block_goes_back_to_the_system_however_large_the_last_one_was() -> None:
    """It is a mapping of its own, which ends when it is freed; without `settle` a piece of the heap."""
    assert mapped("settled") == 1
    assert mapped() == 0
