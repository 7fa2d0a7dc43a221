"""Cgroups as systemd and container engines lay them out, in the test's own tree, and leaking services in them."""
import contextlib
import itertools
import os
import re
import socket
import subprocess
import sys

from tcph import netns
from tcph.poll import eventually

_PREFIX = b'tcph-cg'
_LEAK = os.path.join(os.path.dirname(__file__), 'leak.py')
_sequence = itertools.count(1)

# What is started begins its life there: the kernel notes a socket's cgroup when the socket is made.
_ENTER = 'echo $$ >"$0/cgroup.procs" && exec "$@"'


def mount_point():
    """Where cgroup2 is mounted, or None."""
    with open('/proc/self/mounts', 'rb') as file:
        found = [line.split()[1] for line in file if line.split()[2] == b'cgroup2']
    return found[0] if found else None


def is_usable():
    point = mount_point()
    return bool(point) and os.access(point, os.W_OK)


class Tree:
    """A directory below the mount point; on exit it goes with all in it, services first."""

    def __init__(self):
        self.mount_point = mount_point()
        _sweep(self.mount_point)
        self.path = os.path.join(self.mount_point, b'%s-%d-%d' % (_PREFIX, os.getpid(), next(_sequence)))
        os.mkdir(self.path)
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()
        eventually(lambda: _remove(self.path), what=f'the end of the processes in {self.path!r}')

    def make(self, name):
        """Makes the cgroup `name` (text or bytes, with slashes); its directory as bytes."""
        path = os.path.join(self.path, os.fsencode(name))
        os.makedirs(path, exist_ok=True)
        return path

    def popen(self, host, cgroup, *argv, **options):
        """Starts a program in that directory's cgroup and in the namespace of `host`, until the tree goes."""
        process = host.popen('sh', '-c', _ENTER, os.fsdecode(cgroup), *argv, **options)
        self._stack.callback(netns.kill, process)
        return process

    def leak(self, pair, cgroup, *args, port=None):
        """A service on pair.b, in the cgroup of that name, that never closes."""
        return Leak(self, pair, self.make(cgroup), port or pair.next_port(), args)

    def keep(self, thing):
        """Something to be closed when the tree goes."""
        return self._stack.enter_context(thing)


class Leak:
    """The running service: `port`, `pid` of the process that accepts, and its clients."""

    def __init__(self, tree, pair, directory, port, args):
        self.pair, self.port = pair, port
        self.stranded = 0
        self._tree = tree
        process = tree.popen(pair.b, directory, sys.executable, '-IS', _LEAK, pair.b.address[4], port,
                             *map(os.fsdecode, args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._words = tree.keep(process.stdout)
        self.pid = self.read_pid()

    def read_pid(self):
        return int(self._words.readline())

    def connect(self):
        client = self._tree.keep(self.pair.a.socket())
        client.settimeout(5)
        client.connect((self.pair.b.address[4], self.port))
        return client

    def strand(self, count=1):
        """Clients that come and go: so many connections more in CLOSE_WAIT, held by the service."""
        self.stranded += count
        for _ in range(count):
            self.connect().shutdown(socket.SHUT_WR)
        eventually(lambda: self._count_held() == self.stranded, what=f'{self.stranded} CLOSE-WAIT')

    def _count_held(self):
        """By /proc: ss tells the cgroup, too, which may be called anything."""
        with open(f'/proc/{self.pid}/net/tcp', encoding='ascii') as file:
            rows = [line.split() for line in file][1:]
        return sum(row[1].endswith(f':{self.port:04X}') and row[3] == '08' and row[9] != '0' for row in rows)


def _remove(path):
    """Removes the tree; False while there is a process in it."""
    try:
        for directory, _, _ in os.walk(path, topdown=False):
            os.rmdir(directory)
    except OSError:
        return False
    return True


def _sweep(point):
    """Removes what test runs left that are dead."""
    for name in os.listdir(point):
        found = re.fullmatch(_PREFIX + rb'-(\d+)-\d+', name)
        if found and not os.path.exists(b'/proc/' + found[1]):
            _remove(os.path.join(point, name))
