"""Network namespaces, the veth between two of them, and packet loss in them.

Names contain the process id of the test run, so parallel runs do not collide, and the next run removes what a killed run
left behind. A socket belongs to the namespace it was created in, so one process can hold both ends of a connection.
"""
import contextlib
import ctypes
import itertools
import os
import re
import signal
import socket
import subprocess

_PREFIX = 'tcph'
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_sequence = itertools.count(1)


def setns(fd):
    """Moves the calling thread, no other, into the network namespace behind `fd`."""
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        err = ctypes.get_errno()
        raise OSError(err, os.strerror(err))


def _run(argv, **options):
    """subprocess.run() that shows the program's own words when it fails."""
    done = subprocess.run(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30,
                          check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f'{" ".join(argv)}: status {done.returncode}: {done.stderr.strip()}')
    return done.stdout


def is_usable():
    """Whether this process may make network namespaces."""
    return subprocess.run(['unshare', '-n', 'true'], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def sweep():
    """Removes the namespaces of test runs that are dead. Their processes died with them (see Netns.argv)."""
    names = os.listdir('/run/netns') if os.path.isdir('/run/netns') else []
    for name in names:
        found = re.fullmatch(_PREFIX + r'-(\d+)-\d+\w*', name)
        if found and not os.path.exists('/proc/' + found[1]):
            subprocess.run(['ip', 'netns', 'del', name], check=False)


class Netns:
    """A network namespace with its loopback up; removed on exit from the `with` block."""

    def __init__(self, label=''):
        self.name = f'{_PREFIX}-{os.getpid()}-{next(_sequence)}{label}'
        self.path = '/run/netns/' + self.name
        self.address = {4: '127.0.0.1', 6: '::1'}
        _run(['ip', 'netns', 'add', self.name])
        _run(['ip', '-n', self.name, 'link', 'set', 'lo', 'up'])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        subprocess.run(['ip', 'netns', 'del', self.name], stderr=subprocess.DEVNULL, check=False)

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is inside for the length of the block."""
        with open('/proc/thread-self/ns/net', 'rb') as home, open(self.path, 'rb') as target:
            setns(target.fileno())
            try:
                yield
            finally:
                setns(home.fileno())

    def socket(self, family=4, kind=socket.SOCK_STREAM):
        """A socket that belongs to this namespace, whoever uses it."""
        with self.entered():
            return socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, kind)

    def argv(self, *argv):
        """`argv` run inside. It execs, so that the pid is the program's, and it dies with this process.

        `ip netns exec` would hide /sys/fs/cgroup, which the exporter reads.
        """
        return ['setpriv', '--pdeathsig', 'KILL', 'nsenter', '--net=' + self.path, *map(str, argv)]

    def run(self, *argv, stdin=''):
        """Runs a short command inside and returns its standard output; RuntimeError if it fails."""
        return _run(self.argv(*argv), input=stdin)

    def popen(self, *argv, **options):
        return subprocess.Popen(self.argv(*argv), **options)

    def sysctl(self, **values):
        """sysctl(tcp_fin_timeout=3) writes net.ipv4.tcp_fin_timeout of this namespace."""
        with self.entered():
            for name, value in values.items():
                with open('/proc/sys/net/ipv4/' + name, 'w', encoding='ascii') as file:
                    file.write(str(value))

    def drop(self, match=''):
        """Drops incoming TCP segments that match the nft expression, all by default, until remove().

        Always in the receiver's input hook: a drop on the way out is an error that the sender's TCP sees.
        """
        return Drop(self, match)


class Drop:
    """A packet filter rule that loses segments; removed on exit from the `with` block."""

    def __init__(self, netns, match):
        self.netns = netns
        self.table = f'drop{next(_sequence)}'
        netns.run('nft', '-f', '-', stdin=f'''
            add table inet {self.table}
            add chain inet {self.table} input {{ type filter hook input priority 0; }}
            add rule inet {self.table} input meta l4proto tcp {match} counter drop
        ''')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def packets(self):
        """How many segments were lost so far."""
        listing = self.netns.run('nft', 'list', 'table', 'inet', self.table)
        return int(re.search(r'counter packets (\d+)', listing)[1])

    def remove(self):
        """Lets segments pass again. May be called twice."""
        if self.table:
            self.netns.run('nft', 'delete', 'table', 'inet', self.table)
            self.table = None


class Pair:
    """Two hosts, `a` (10.77.0.1, fd77::1) and `b` (10.77.0.2, fd77::2), joined by a veth."""

    FIRST_PORT = 8000

    def __init__(self):
        with contextlib.ExitStack() as stack:
            self.a = stack.enter_context(Netns('a'))
            self.b = stack.enter_context(Netns('b'))
            self._join()
            self._stack = stack.pop_all()
        self._port = itertools.count(self.FIRST_PORT)

    def _join(self):
        a, b = self.a, self.b
        _run(['ip', 'link', 'add', 'veth0', 'netns', a.name, 'type', 'veth', 'peer', 'name', 'veth0',
              'netns', b.name])
        for number, host in enumerate((a, b), 1):
            host.address = {4: f'10.77.0.{number}', 6: f'fd77::{number}'}
            _run(['ip', '-n', host.name, '-batch', '-'], input=f'''\
                addr add {host.address[4]}/24 dev veth0
                addr add {host.address[6]}/64 dev veth0 nodad
                link set veth0 up
            ''')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        # A socket that is still open would keep its namespace, and so the link, alive.
        subprocess.run(['ip', '-n', self.a.name, 'link', 'del', 'veth0'], stderr=subprocess.DEVNULL, check=False)
        self._stack.close()

    def next_port(self):
        """A server port that no scene of this pair had before."""
        return next(self._port)

    def sysctl(self, **values):
        self.a.sysctl(**values)
        self.b.sysctl(**values)


def kill(process):
    """Ends a child process for good and reaps it."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()
