"""The matrix of roles: who opened a connection, how the exporter knows, and where it cannot know.

Each row of MATRIX creates real sockets, so the truth is known. It is checked in four ways: with netlink and with /proc,
each by an exporter that ran before the sockets were created, and by one that starts afterwards. A cell is the evidence
that decides there. Where an exporter has to guess and guesses wrong, the cell says `wrong()`: a documented limit, not a
failure. Every other cell must have the true role and port.
"""
import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
import socket
import threading
import time
import traceback

from tcph import exporter, expo, netns, scenes, ss
from tcph.case import NetTest
from tcph.poll import eventually

MSG_FASTOPEN = 0x20000000
IP_BIND_ADDRESS_NO_PORT = 24
#: The exporters that run before the sockets are made: source and port of their own.
BEFORE = (('netlink', 10793), ('procfs', 10794))
SOURCES = ('netlink', 'procfs')

# The evidence, as tcphealth_role_evidence_connections names it. A cell may allow several: "listener|former_listener".
STATE = 'state'
QUEUE = 'accept_queue'
HANDSHAKE = 'handshake'
LISTENER = 'listener'
OTHER_END = 'other_end'
EVENT = 'event'
FORMER = 'former_listener'
SERVICE = 'known_service'
RANGE = 'port_range'
PARITY = 'port_parity'
ORDER = 'port_order'
#: Seen while its listener lived, or only after: what the sampling happened to catch.
LISTENED = f'{LISTENER}|{FORMER}'


@dataclasses.dataclass(frozen=True)
class Cell:
    """What one exporter says of one socket."""
    evidence: str
    role: str | None = None
    port: int | None = None


def wrong(evidence, role, port):
    """This exporter guesses, by `evidence`, that the socket is another one's."""
    return Cell(evidence, role, port)


@dataclasses.dataclass(frozen=True)
class Truth:
    """One socket: where it is, what it is, and the four cells (netlink before, after, /proc before, after)."""
    host: str
    role: str
    port: int
    state: str
    cells: tuple

    def cell(self, source, before):
        cell = self.cells[SOURCES.index(source) * 2 + (0 if before else 1)]
        return cell if isinstance(cell, Cell) else Cell(cell)


def client(host, port, state, *cells):
    return Truth(host, 'client', port, state, cells)


def server(host, port, state, *cells):
    return Truth(host, 'server', port, state, cells)


class World:
    """What a row may use to make its sockets: hosts a and b, and the exporters that look on."""

    def __init__(self, stack, interval=0.1, local_ports=('32768 60999',) * 2):
        self.stack = stack
        self.interval = interval
        self.pair = stack.enter_context(netns.Pair())
        self.a, self.b = self.pair.a, self.pair.b
        # The scrapes of the test must leave nothing behind that would be counted.
        self.pair.sysctl(tcp_max_tw_buckets=0)
        for host, ports in zip((self.a, self.b), local_ports):
            host.sysctl(ip_local_port_range=ports)
        self.watchers = [(name, source, self.watch(host, source, port))
                         for name, host in (('a', self.a), ('b', self.b)) for source, port in BEFORE]

    def watch(self, host, source, port):
        watcher = exporter.Exporter(host, f'--collector.source={source}', '--no-log.stale',
                                    f'--collector.interval={self.interval * 1000:.0f}ms', port=port)
        # How fast it ends is not the question here, and a busy machine delays it.
        self.stack.callback(watcher.stop, within=20)
        return watcher

    def settle(self):
        """Every exporter has sampled what there is now."""
        for _, _, watcher in self.watchers:
            watcher.fresh_page()

    def quiesce(self):
        """The scrapes of this test are over."""
        own = {port for _, port in BEFORE}
        for host in (self.a, self.b):
            eventually(lambda host=host: not ss.find(host, remote_port=lambda port: port in own),
                       what='the end of the scrapes')

    def scene(self, recipe, **options):
        return self.stack.enter_context(recipe(self.pair, **options))

    @contextlib.contextmanager
    def minis(self):
        """Inside, the kernel keeps records of its own: TIME_WAIT and orphans in FIN_WAIT2."""
        self.quiesce()
        self.pair.sysctl(tcp_max_tw_buckets=4096)
        yield
        self.pair.sysctl(tcp_max_tw_buckets=0)

    def keep(self, sock):
        """The socket is reset when the row ends."""
        def close():
            if sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
                sock.close()

        self.stack.callback(close)
        sock.settimeout(5)
        return sock

    def make(self, host, address=None, port=0, reuse_port=False):
        sock = self.keep(host.socket(6 if address and ':' in address else 4))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(reuse_port))
        if address == '::':
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if address or port:
            # Without a port of its own it gets one from connect(), not from bind().
            sock.setsockopt(socket.SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((address or host.address[4], port))
        return sock

    def listen(self, host, port, address=None, reuse_port=False):
        listener = self.make(host, address, port, reuse_port)
        listener.listen(16)
        return listener

    def link(self, port, address=None, to=None, port_from=0, source=None, hosts=None, gone=False):
        """(listener, client, server): a connection from a to b, unless `hosts` says otherwise.

        `gone`: the listener is closed once the exporters have seen it, before anything else is looked at.
        """
        opener, acceptor = hosts or (self.a, self.b)
        listener = self.listen(acceptor, port, address)
        if gone:
            self.settle()
        opened = self.make(opener, source, port_from)
        opened.connect((to or address or acceptor.address[4], port))
        accepted = self.keep(listener.accept()[0])
        if gone:
            listener.close()
        return listener, opened, accepted

    def see(self, host, state, **wanted):
        eventually(lambda: ss.find(host, state=state, **wanted), timeout=10,
                   what=lambda: f'{state} {wanted} among {ss.records(host)}')


# The rows. Each function makes the sockets of one.

def alive(world):
    world.link(8080)


def gone(world):
    world.link(8080, gone=True)


def both_in_range_parity(world):
    """connect() took a port of the range's parity, listen() one of the other."""
    _, opened, _ = world.link(40001, gone=True)
    assert opened.getsockname()[1] % 2 == 0, 'connect() keeps to the parity of the range'


def both_in_range_order(world):
    world.link(40000, port_from=50000, gone=True)


def both_in_range_misleading(world):
    world.link(50000, port_from=40000, gone=True)


def both_out_of_range(world):
    world.link(8080, port_from=9000, gone=True)


def both_out_of_range_misleading(world):
    world.link(8080, port_from=600, gone=True)


def client_bound_to_listening_port(world):
    world.listen(world.a, 7000, reuse_port=True)
    listener = world.listen(world.b, 8080)
    opened = world.make(world.a, None, 7000, reuse_port=True)
    world.settle()  # a sample in the middle of this would have to guess, before it knows who listens
    opened.connect((world.b.address[4], 8080))
    world.keep(listener.accept()[0])


def one_host(world):
    world.link(8080, '127.0.0.1', source='127.0.0.1', hosts=(world.b, world.b))


def one_host_gone(world):
    world.link(8080, '127.0.0.1', source='127.0.0.1', hosts=(world.b, world.b), gone=True)


def one_host_own_address(world):
    world.link(8080, world.b.address[4], source=world.b.address[4], hosts=(world.b, world.b), gone=True)


def connected_to_itself(world):
    sock = world.make(world.b, '127.0.0.1', 8080)
    sock.connect(('127.0.0.1', 8080))


def v6(world):
    world.link(8080, world.b.address[6], source=world.a.address[6])


def v6_gone(world):
    world.link(8080, world.b.address[6], source=world.a.address[6], gone=True)


def v4_mapped(world):
    """The listener takes both families; one client speaks IPv4 through an IPv6 socket, one plainly."""
    listener, _, _ = world.link(8080, '::', to='::ffff:' + world.b.address[4], source='::ffff:' + world.a.address[4])
    plain = world.make(world.a)
    plain.connect((world.b.address[4], 8080))
    world.keep(listener.accept()[0])


def v4_mapped_gone(world):
    world.link(8080, '::', to=world.b.address[4], gone=True)


def data_in_flight(world):
    """Both ends have sent, and neither is answered."""
    scene = world.scene(scenes.half_open_unacked, port=8080)
    scene.client.sendall(b'x' * 3000)
    scene.listener.close()
    world.see(world.a, 'ESTAB', send_queue=3000)


def opener_half_closed(world):
    _, opened, _ = world.link(8080, gone=True)
    opened.shutdown(socket.SHUT_WR)
    world.see(world.b, 'CLOSE-WAIT')


def acceptor_half_closed(world):
    """`nc -l -p` whose standard input is at its end."""
    _, _, accepted = world.link(8080, gone=True)
    accepted.shutdown(socket.SHUT_WR)
    world.see(world.a, 'CLOSE-WAIT')


def time_wait_of_opener(world):
    _, opened, accepted = world.link(8080)
    world.settle()
    with world.minis():
        opened.close()
        world.see(world.b, 'CLOSE-WAIT')
        accepted.close()
        world.see(world.a, 'TIME-WAIT')


def time_wait_of_acceptor(world):
    listener, opened, accepted = world.link(8080)
    world.settle()
    with world.minis():
        accepted.close()
        world.see(world.a, 'CLOSE-WAIT')
        opened.close()
        world.see(world.b, 'TIME-WAIT')
        listener.close()


def time_wait_unseen(world):
    """It lived and died between two samples: both ports are inside the range, and only its destroy event tells."""
    listener = world.listen(world.b, 50000)
    world.watchers[0][2].fresh_page()  # a sample has just ended: there is time until the next one
    with world.minis():
        opened = world.make(world.a, None, 40000)
        opened.connect((world.b.address[4], 50000))
        accepted = world.keep(listener.accept()[0])
        opened.close()
        accepted.close()
        world.see(world.a, 'TIME-WAIT')


def two_links(world, port, *ports_from):
    """(listener, client, server) of the second of two connections from a to b; the sampling cannot miss the listener."""
    listener = world.listen(world.b, port)
    world.settle()
    for port_from in ports_from:
        opened = world.make(world.a, None, port_from)
        opened.connect((world.b.address[4], port))
        accepted = world.keep(listener.accept()[0])
    world.settle()
    return listener, opened, accepted


def time_wait_beside_connection(world):
    _, opened, accepted = two_links(world, 8080, 2000, 2002)
    with world.minis():
        opened.close()
        world.see(world.b, 'CLOSE-WAIT')
        accepted.close()
        world.see(world.a, 'TIME-WAIT')


def time_wait_of_acceptor_beside_connection(world):
    listener, opened, accepted = two_links(world, 50000, 20000, 20002)
    with world.minis():
        accepted.close()
        world.see(world.a, 'CLOSE-WAIT')
        opened.close()
        world.see(world.b, 'TIME-WAIT')
        listener.close()


def orphan_without_info(world):
    _, opened, _ = world.link(8080, gone=True)
    world.settle()
    with world.minis():
        opened.close()
        world.see(world.a, 'FIN-WAIT-2', inode=0, timer='timewait')


def orphan_with_info(world):
    scene = world.scene(scenes.fin_wait1_orphan, port=8080)
    scene.listener.close()


def closing(world):
    scene = world.scene(scenes.closing, port=8080)
    scene.listener.close()


def last_ack(world):
    with world.minis():
        scene = world.scene(scenes.last_ack, port=8080)
        scene.listener.close()


def retransmitted(world):
    """The data was lost a few times, then it came through and was acknowledged."""
    scene = world.scene(scenes.half_open_unacked, port=8080)
    scene.listener.close()
    eventually(lambda: '/' in scene.look().info.get('retrans', ''), what='a retransmission')
    scene.restore()
    eventually(lambda: scene.look().send_queue == 0, timeout=10, what='the acknowledgement')


def fin_behind_shut_window(world):
    scene = world.scene(scenes.fin_wait1_zero_window, port=8080)
    scene.listener.close()


def dropped_by_own_queue(world):
    """What this host itself threw away is in bytes_sent for good, so that the arithmetic fails."""
    _, _, accepted = world.link(8080)
    world.settle()
    rules = 'table inet own {{ chain o {{ type filter hook output priority 0; tcp sport 8080 {} drop; }}; }}'
    world.b.run('nft', '-f', '-', stdin=rules.format('counter'))
    accepted.sendall(b'x' * 3000)
    eventually(lambda: 'packets 0' not in world.b.run('nft', 'list', 'table', 'inet', 'own'), what='a dropped segment')
    world.b.run('nft', 'delete', 'table', 'inet', 'own')
    eventually(lambda: ss.find(world.b, local_port=8080, state='ESTAB', send_queue=0), timeout=10,
               what='the acknowledgement')


def ping_pong(world):
    """One byte to and fro, all the time: no look finds the connection at rest."""
    _, opened, accepted = world.link(50001, port_from=40001, gone=True)
    stop = threading.Event()

    def play():
        with contextlib.suppress(OSError):
            while not stop.is_set():
                opened.send(b'x')
                accepted.recv(1)
                accepted.send(b'x')
                opened.recv(1)

    player = threading.Thread(target=play, daemon=True)
    world.stack.callback(player.join, 5)
    world.stack.callback(stop.set)
    player.start()
    end = time.monotonic() + 1
    while time.monotonic() < end:  # some ten samples, none of which may go wrong
        world.settle()


def fast_open(world):
    """The data is in the SYN."""
    world.pair.sysctl(tcp_fastopen=0x1 | 0x2 | 0x4 | 0x200)
    listener = world.listen(world.b, 8080)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    world.settle()
    opened = world.make(world.a)
    opened.sendto(b'early', MSG_FASTOPEN, (world.b.address[4], 8080))
    accepted = world.keep(listener.accept()[0])
    assert accepted.recv(9) == b'early'
    world.see(world.a, 'ESTAB')
    world.see(world.b, 'ESTAB')
    eventually(lambda: ' fastopen ' in world.a.run('ss', '-tinHe'), what='a Fast Open that worked')
    listener.close()


def fast_open_half(world):
    """The answer to the SYN is lost: the accepted end has a socket with data, in SYN_RECV."""
    world.pair.sysctl(tcp_fastopen=0x1 | 0x2 | 0x4 | 0x200)
    listener = world.listen(world.b, 8080)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    world.stack.enter_context(world.a.drop('tcp sport 8080'))
    opened = world.make(world.a)
    opened.setblocking(False)
    opened.sendto(b'early', MSG_FASTOPEN, (world.b.address[4], 8080))
    accepted = world.keep(listener.accept()[0])
    assert accepted.recv(9) == b'early'
    world.see(world.b, 'SYN-RECV')


def reuse_port(world):
    """Two listeners share the port; the one that accepted is gone."""
    listeners = [world.listen(world.b, 8080, reuse_port=True) for _ in range(2)]
    opened = world.make(world.a)
    opened.connect((world.b.address[4], 8080))
    for listener in listeners:
        listener.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            world.keep(listener.accept()[0])
            listener.close()
            return
    raise AssertionError('neither listener accepted')


def syn_sent(world):
    world.scene(scenes.syn_sent, port=50001)


def syn_recv(world):
    world.scene(scenes.syn_recv, port=50001)


def deferred_accept(world):
    world.scene(scenes.syn_recv_deferred, port=8080)


def unaccepted(world):
    world.scene(scenes.unaccepted, port=50001)


def unaccepted_and_left(world):
    world.scene(scenes.close_wait_unaccepted, port=8080)


def zero_window(world):
    scene = world.scene(scenes.zero_window, port=8080)
    scene.listener.close()


def multipath(world):
    """An MPTCP connection is one subflow, an ordinary socket."""
    ends = {}
    for name, host in (('a', world.a), ('b', world.b)):
        with host.entered():
            ends[name] = world.keep(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP))
    ends['b'].bind((world.b.address[4], 8080))
    ends['b'].listen(16)
    ends['a'].connect((world.b.address[4], 8080))
    world.keep(ends['b'].accept()[0])
    ends['b'].close()


#: Seconds between samples, where a scene must find its place between two of them.
INTERVALS = {time_wait_unseen: 1}
#: Ranges of local ports of a and b, where the numbers of the ports are to mislead: the service is inside as well.
LOCAL_PORTS = {time_wait_beside_connection: ('1024 65535',) * 2,
               time_wait_of_acceptor_beside_connection: ('15000 30000', '15000 64000')}

# The matrix. A scene; its sockets: host, role and port, state; evidence for netlink before and after, /proc before
# and after.

PLAIN = (
    (alive,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, LISTENER, LISTENER)),
    (gone,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, LISTENED, RANGE)),
    (both_in_range_parity,
     client('a', 40001, 'established', HANDSHAKE, HANDSHAKE, PARITY, PARITY),
     server('b', 40001, 'established', HANDSHAKE, HANDSHAKE, LISTENED, PARITY)),
    (both_in_range_order,
     client('a', 40000, 'established', HANDSHAKE, HANDSHAKE, ORDER, ORDER),
     server('b', 40000, 'established', HANDSHAKE, HANDSHAKE, LISTENED, ORDER)),
    (both_in_range_misleading,
     client('a', 50000, 'established', HANDSHAKE, HANDSHAKE,
            wrong(ORDER, 'server', 40000), wrong(ORDER, 'server', 40000)),
     server('b', 50000, 'established', HANDSHAKE, HANDSHAKE, LISTENED, wrong(ORDER, 'client', 40000))),
    (both_out_of_range,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, ORDER, ORDER),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, LISTENED, ORDER)),
    (both_out_of_range_misleading,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, wrong(ORDER, 'server', 600), wrong(ORDER, 'server', 600)),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, LISTENED, wrong(ORDER, 'client', 600))),
    (client_bound_to_listening_port,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE,
            wrong(LISTENER, 'server', 7000), wrong(LISTENER, 'server', 7000)),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, LISTENER, LISTENER)),
    (one_host,
     client('b', 8080, 'established', HANDSHAKE, HANDSHAKE, OTHER_END, OTHER_END),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, LISTENER, LISTENER)),
    # The first of the two in the table is judged by its ports, the second by the first.
    (one_host_gone,
     client('b', 8080, 'established', HANDSHAKE, HANDSHAKE, OTHER_END, f'{RANGE}|{OTHER_END}'),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, f'{LISTENED}|{OTHER_END}', f'{RANGE}|{OTHER_END}')),
    (one_host_own_address,
     client('b', 8080, 'established', HANDSHAKE, HANDSHAKE, OTHER_END, f'{RANGE}|{OTHER_END}'),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, f'{LISTENED}|{OTHER_END}', f'{RANGE}|{OTHER_END}')),
    # A simultaneous open with itself: it opened.
    (connected_to_itself,
     client('b', 8080, 'established', HANDSHAKE, HANDSHAKE, ORDER, ORDER)),
    (v6,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, LISTENER, LISTENER)),
    (v6_gone,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, LISTENED, RANGE)),
    (v4_mapped,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, LISTENER, LISTENER),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, LISTENER, LISTENER)),
    (v4_mapped_gone,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, LISTENED, RANGE)),
)

ENDING = (
    (data_in_flight,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, f'{LISTENED}|{RANGE}', RANGE)),
    (opener_half_closed,
     client('a', 8080, 'fin_wait2', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'close_wait', HANDSHAKE, HANDSHAKE, LISTENED, RANGE)),
    (acceptor_half_closed,
     client('a', 8080, 'close_wait', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'fin_wait2', HANDSHAKE, HANDSHAKE, LISTENED, RANGE)),
    (time_wait_of_opener,
     client('a', 8080, 'time_wait', HANDSHAKE, RANGE, RANGE, RANGE)),
    (time_wait_of_acceptor,
     server('b', 8080, 'time_wait', HANDSHAKE, RANGE, LISTENED, RANGE)),
    (time_wait_unseen,
     client('a', 50000, 'time_wait', f'{EVENT}|{HANDSHAKE}', wrong(ORDER, 'server', 40000),
            wrong(ORDER, 'server', 40000), wrong(ORDER, 'server', 40000))),
    (time_wait_beside_connection,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE,
            wrong(ORDER, 'server', 2000), wrong(ORDER, 'server', 2000)),
     client('a', 8080, 'time_wait', HANDSHAKE, SERVICE, wrong(ORDER, 'server', 2002), wrong(ORDER, 'server', 2002)),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, LISTENER, LISTENER)),
    (time_wait_of_acceptor_beside_connection,
     client('a', 50000, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 50000, 'established', HANDSHAKE, HANDSHAKE, LISTENED, wrong(ORDER, 'client', 20000)),
     server('b', 50000, 'time_wait', HANDSHAKE, SERVICE, LISTENED, wrong(ORDER, 'client', 20002))),
    (orphan_without_info,
     client('a', 8080, 'fin_wait2', HANDSHAKE, RANGE, RANGE, RANGE),
     server('b', 8080, 'close_wait', HANDSHAKE, HANDSHAKE, LISTENED, RANGE)),
    (orphan_with_info,
     client('a', 8080, 'fin_wait1', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, f'{LISTENED}|{RANGE}', RANGE)),
    (closing,
     client('a', 8080, 'closing', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'fin_wait1', HANDSHAKE, HANDSHAKE, f'{LISTENED}|{RANGE}', RANGE)),
    (last_ack,
     client('a', 8080, 'fin_wait2', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'last_ack', HANDSHAKE, HANDSHAKE, f'{LISTENED}|{RANGE}', RANGE)),
)

TROUBLED = (
    (retransmitted,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, f'{LISTENED}|{RANGE}', RANGE)),
    (fin_behind_shut_window,
     client('a', 8080, 'fin_wait1', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, f'{LISTENED}|{RANGE}', RANGE)),
    # The arithmetic is refused at the end that dropped; what was decided before stays.
    (dropped_by_own_queue,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, LISTENER, LISTENER, LISTENER)),
    (ping_pong,
     client('a', 50001, 'established', HANDSHAKE, HANDSHAKE,
            wrong(ORDER, 'server', 40001), wrong(ORDER, 'server', 40001)),
     server('b', 50001, 'established', HANDSHAKE, HANDSHAKE, LISTENED, wrong(ORDER, 'client', 40001))),
    (fast_open,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, LISTENED, RANGE)),
    (fast_open_half,
     client('a', 8080, 'syn_sent', STATE, STATE, STATE, STATE),
     server('b', 8080, 'syn_recv', STATE, STATE, STATE, STATE)),
    (reuse_port,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, LISTENER, LISTENER)),
)

OPENING = (
    (syn_sent,
     client('a', 50001, 'syn_sent', STATE, STATE, STATE, STATE)),
    (syn_recv,
     client('a', 50001, 'syn_sent', STATE, STATE, STATE, STATE),
     server('b', 50001, 'syn_recv', STATE, STATE, STATE, STATE)),
    (deferred_accept,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'syn_recv', STATE, STATE, STATE, STATE)),
    (unaccepted,
     client('a', 50001, 'established', HANDSHAKE, HANDSHAKE, PARITY, PARITY),
     server('b', 50001, 'established', QUEUE, QUEUE, QUEUE, QUEUE)),
    (unaccepted_and_left,
     server('b', 8080, 'close_wait', QUEUE, QUEUE, QUEUE, QUEUE)),
    (zero_window,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, f'{LISTENED}|{RANGE}', RANGE)),
    (multipath,
     client('a', 8080, 'established', HANDSHAKE, HANDSHAKE, RANGE, RANGE),
     server('b', 8080, 'established', HANDSHAKE, HANDSHAKE, f'{LISTENED}|{RANGE}', RANGE)),
)

MATRIX = PLAIN + ENDING + TROUBLED + OPENING


class View:
    """What a page says of the sockets, without those of the exporters themselves."""

    def __init__(self, page):
        own = {str(port) for _, port in BEFORE}
        self.connections = {}
        self.pairs = set()
        self.scraped = 0
        for labels, value in page.series('tcphealth_connections'):
            if labels['port'] in own:
                self.scraped += value
                continue
            if labels['port'] == 'unknown' and not value:
                continue
            self.pairs.add((labels['role'], labels['port']))
            if value:
                self.connections[labels['role'], labels['port'], labels['state']] = value
        self.evidence = {labels['evidence']: value
                         for labels, value in page.series('tcphealth_role_evidence_connections') if value}
        self.listening = {('server', labels['port']) for labels, _ in page.series('tcphealth_listeners')}


def sights(truth, source, before):
    """The ways in which an exporter may rightly show one socket: ((role, port, state), evidence)."""
    cell = truth.cell(source, before)
    key = (cell.role or truth.role, str(cell.port or truth.port), truth.state)
    ways = [(key, evidence) for evidence in cell.evidence.split('|')]
    if before:
        # A dump may have caught the handshake, or the accept queue: nothing later is stronger.
        key = (truth.role, str(truth.port), truth.state)
        ways += [(key, STATE)] + [(key, QUEUE)] * (truth.role == 'server')
    return ways


def expected(truths, source, before):
    """All the right answers: (connections by role, port and state; connections by evidence)."""
    answers = []
    for ways in itertools.product(*(sights(truth, source, before) for truth in truths)):
        answers.append((dict(collections.Counter(key for key, _ in ways)),
                        dict(collections.Counter(evidence for _, evidence in ways))))
    return answers


def complaint(page, truths, host, source, before):
    """What is wrong with a page of that host, or ''."""
    view = View(page)
    answers = expected([truth for truth in truths if truth.host == host], source, before)
    if view.scraped:
        return 'a scrape of the test itself is in the sample'
    if (view.connections, view.evidence) not in answers:
        return f'{view.connections} by {view.evidence}, none of {answers}'
    # What neither a listener nor a socket that there was explains is an ephemeral port with a series.
    was = {('client' if host == 'a' else 'server', str(truth.port)) for truth in truths}
    extra = view.pairs - {(role, port) for role, port, _ in view.connections} - view.listening - was
    return f'needless series of {sorted(extra)}' if extra else ''


def complaints_before(world, truths):
    """Each exporter must come to the right answer. Between the looks it is left alone: scrapes are connections, too."""
    pending = {(name, source): watcher for name, source, watcher in world.watchers}
    said, begun = {}, time.time()
    deadline = time.monotonic() + exporter.patience(10)
    while pending and time.monotonic() < deadline:
        time.sleep(2.5 * world.interval)
        for (name, source), watcher in list(pending.items()):
            page = watcher.page()
            if page.value('tcphealth_last_sample_timestamp_seconds', tier='full') - begun < world.interval:
                continue  # it may have begun before the last socket was made
            said[name, source] = complaint(page, truths, name, source, before=True)
            if not said[name, source]:
                del pending[name, source]
    for name, source in pending:
        yield {'host': name, 'source': source, 'exporter': 'before'}, said.get((name, source), 'no sample')


def complaints_after(world, truths):
    world.quiesce()
    for (name, host), source in itertools.product((('a', world.a), ('b', world.b)), SOURCES):
        done = exporter.run(host, '--once', f'--collector.source={source}', '--log.level=error')
        said = complaint(expo.check(done.stdout, expo.TEXT), truths, name, source, before=False)
        if said:
            yield {'host': name, 'source': source, 'exporter': 'after'}, said


def examine(row):
    """Makes the sockets of a row; [(where, what is wrong there)]."""
    make, *truths = row
    try:
        with contextlib.ExitStack() as stack:
            world = World(stack, INTERVALS.get(make, 0.1), LOCAL_PORTS.get(make, ('32768 60999',) * 2))
            make(world)
            return [*complaints_before(world, truths), *complaints_after(world, truths)]
    except Exception:  # pylint: disable=broad-exception-caught
        return [({'step': 'making the sockets'}, traceback.format_exc())]


class RolesTest(NetTest):
    def check(self, rows):
        """Rows have hosts of their own, and mostly wait: several at a time."""
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            for (make, *_), complaints in zip(rows, pool.map(examine, rows)):
                for where, said in complaints:
                    with self.subTest(scene=make.__name__, **where):
                        self.fail(said)

    def test_plain_connections(self):
        self.check(PLAIN)

    def test_connections_that_end(self):
        self.check(ENDING)

    def test_connections_in_trouble(self):
        self.check(TROUBLED)

    def test_connections_that_begin(self):
        self.check(OPENING)

    def test_truth_is_in_every_netlink_cell_that_has_tcp_info(self):
        """The matrix itself: by netlink, only a TIME_WAIT that nobody had seen alive may be guessed wrong."""
        for make, *truths in MATRIX:
            for truth in truths:
                for before in (True, False):
                    if truth.cell('netlink', before).role:
                        self.assertEqual((make, truth.state, before), (time_wait_unseen, 'time_wait', False))
