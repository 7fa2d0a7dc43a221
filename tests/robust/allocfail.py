"""The control of failmalloc.so: which allocation fails, and what happened."""
import collections
import ctypes
import mmap
import os
import re
import subprocess
import tempfile

from tcph import exporter

LIBRARY = os.path.join(exporter.BUILD, 'robust', 'failmalloc.so')
OFF, ONCE, FOR_GOOD, ALL = range(4)
_DEPTH_MAX = 16
_PLACES_MAX = 8192


class Control(ctypes.Structure):
    """struct control of failmalloc.c."""
    _fields_ = [('mode', ctypes.c_uint32), ('depth', ctypes.c_uint32), ('record', ctypes.c_uint32),
                ('places', ctypes.c_uint32), ('live', ctypes.c_uint64), ('allocations', ctypes.c_uint64),
                ('failures', ctypes.c_uint64), ('overflow', ctypes.c_uint32), ('stack_depth', ctypes.c_uint32),
                ('stack', ctypes.c_uint64 * _DEPTH_MAX), ('hashes', ctypes.c_uint64 * _PLACES_MAX)]


class Allocator:
    """A control file; `launcher` are the words before a program that put it under this control."""

    def __init__(self, depth=8):
        self._directory = tempfile.TemporaryDirectory(prefix='tcph-failmalloc-')
        self._path = os.path.join(self._directory.name, 'control')
        with open(self._path, 'wb+') as file:
            file.truncate(ctypes.sizeof(Control))
            self._map = mmap.mmap(file.fileno(), ctypes.sizeof(Control))
        self.control = Control.from_buffer(self._map)
        self.control.depth = depth
        self._ranges = []
        self.launcher = ('env', 'FAILMALLOC=' + self._path, 'LD_PRELOAD=' + LIBRARY)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.control = None
        self._directory.cleanup()

    def record(self):
        """Blocks that are allocated from now on must be free at the end."""
        self.control.record = 1

    def forget_places(self):
        self.control.places = 0

    def leaks(self):
        """After the end of the program: {stack: blocks} of those that are not free."""
        with open(self._path + '.leaks', encoding='utf-8') as file:
            lines = file.read().splitlines()
        if lines[-1:] != ['end']:
            raise AssertionError('the program did not end as it should: no list of its blocks')
        return collections.Counter(line.strip() for line in lines[:-1])

    def note_maps(self, pid):
        """Where the running program has its code: it may be dead when that is asked for."""
        with open(f'/proc/{pid}/maps', encoding='utf-8') as file:
            found = [re.match(r'(\w+)-(\w+) \S+ (\w+) \S+ \S+\s+(/.*)', line) for line in file]
        self._ranges = [(int(map[1], 16), int(map[2], 16), int(map[3], 16), map[4]) for map in found if map]

    def place(self):
        """The stack of the place that failed last, as functions of the program and names of libraries."""
        return explain(' '.join(_find(self._ranges, self.control.stack[:self.control.stack_depth])))


def _find(ranges, frames):
    """Addresses as FILE+0xOFFSET."""
    bases = {name: begin for begin, _, offset, name in ranges if offset == 0}
    for frame in frames:
        yield next((f'{name}+0x{frame - bases[name]:x}' for begin, end, _, name in ranges if begin <= frame < end), '?')


def explain(stack):
    """The functions of the program that are in a stack, innermost first, and the libraries between them."""
    words = []
    for frame in stack.split():
        name, _, offset = frame.partition('+')
        if os.path.basename(name) == os.path.basename(exporter.PROGRAM):
            words += _functions(offset)
        elif not words or words[-1] != os.path.basename(name):
            words.append(os.path.basename(name))
    return ' < '.join(words)


def _functions(offset):
    """A return address is behind its call."""
    done = subprocess.run(['addr2line', '-f', '-s', '-i', '-e', exporter.PROGRAM, hex(int(offset, 16) - 1)],
                          stdout=subprocess.PIPE, text=True, check=False)
    lines = done.stdout.split('\n')
    return [f'{function} ({place})' for function, place in zip(lines[::2], lines[1::2])]
