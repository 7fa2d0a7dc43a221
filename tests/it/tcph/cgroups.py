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


def legacy_mount_point():
    """Where systemd's own hierarchy of cgroup1 is mounted, or None."""
    with open('/proc/self/mounts', 'rb') as file:
        found = [line.split()[1] for line in file if b'name=systemd' in line.split()[3].split(b',')]
    return found[0] if found else None


@contextlib.contextmanager
def moved_in_legacy(pid, name):
    """The process in a cgroup of that name there, in a directory of the test's own."""
    top = os.path.join(legacy_mount_point(), b'%s-%d-%d' % (_PREFIX, os.getpid(), next(_sequence)))
    path = os.path.join(top, os.fsencode(name))
    os.makedirs(path)
    try:
        _move(pid, path)
        yield
    finally:
        _move(pid, legacy_mount_point())
        _remove(top)


def _move(pid, path):
    with open(os.path.join(path, b'cgroup.procs'), 'w', encoding='ascii') as file:
        file.write(str(pid))


class Tree:
    """
    A directory of the test's own, on exit it goes with all in it, services first. A slice, so that what is in it looks like the
    host's; engines without systemd want another name.
    """

    def __init__(self, ending=b'.slice'):
        self.mount_point = mount_point()
        _sweep(self.mount_point)
        self.path = os.path.join(self.mount_point, b'%s-%d-%d%s' % (_PREFIX, os.getpid(), next(_sequence), ending))
        os.mkdir(self.path)
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()
        eventually(lambda: _remove(self.path), what=f'the end of the processes in {self.path!r}')

    @property
    def name(self):
        return os.path.basename(os.fsdecode(self.path))

    def make(self, name):
        """Makes the cgroup `name` (text or bytes, with slashes); its directory as bytes."""
        path = os.path.join(self.path, os.fsencode(name))
        os.makedirs(path, exist_ok=True)
        return path

    def delegate(self, name, uid, gid, mode=0o755):
        """Makes the cgroup `name` and hands it to somebody, as systemd does with Delegate= and User=."""
        path = self.make(name)
        os.chown(path, uid, gid)
        os.chmod(path, mode)

    def make_as(self, uid, name):
        """Makes the cgroup `name` as somebody to whom one above it was delegated."""
        subprocess.run(['mkdir', '-p', os.path.join(self.path, os.fsencode(name))], check=True, user=uid, group=uid,
                       extra_groups=[])

    def popen(self, host, cgroup, *argv, **options):
        """Starts a program in that directory's cgroup and in the namespace of `host`, until the tree goes."""
        process = host.popen('sh', '-c', _ENTER, os.fsdecode(cgroup), *argv, **options)
        self._stack.callback(netns.kill, process)
        return process

    def listen(self, host, names, port):
        """A process with a listener in each of these cgroups, all on one port."""
        code = ('import os, signal, socket, sys\n'
                'held = []\n'
                'for cgroup in sys.argv[2:]:\n'
                '    with open(cgroup + "/cgroup.procs", "w") as file: file.write("0")\n'
                '    held.append(socket.create_server(("", int(sys.argv[1])), reuse_port=True))\n'
                'print(flush=True)\n'
                'signal.pause()')
        paths = [os.fsdecode(self.make(name)) for name in names]
        process = self.popen(host, self.path, sys.executable, '-ISc', code, str(port), *paths, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE)
        self.keep(process.stdout).readline()

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
        """Whose end the service has read. By /proc: ss tells the cgroup, too, which may be called anything."""
        with open(f'/proc/{self.pid}/net/tcp', encoding='ascii') as file:
            rows = [line.split() for line in file][1:]
        return sum(row[1].endswith(f':{self.port:04X}') and row[3] == '08' and row[4].endswith(':00000000')
                   and row[9] != '0' for row in rows)


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
        found = re.fullmatch(_PREFIX + rb'-(\d+)-\d+([.]slice)?', name)
        if found and not os.path.exists(b'/proc/' + found[1]):
            _remove(os.path.join(point, name))
