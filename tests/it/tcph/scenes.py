"""A function for each state of a TCP connection, and each way to go stale.

    with scenes.close_wait(pair) as scene:
        scene.record            # what ss shows of the scene's socket, on scene.host
        scene.client, scene.server, scene.listener, scene.port

The client is on pair.a and the server on pair.b. Packet loss affects the scene's own port only, so scenes share a pair.
When a function returns, its socket exists and ss has shown it. Common keywords:

    port=8080         the server's port; an unused one by default
    listener=socket   of an earlier scene, for several connections on one port
    family=6          over IPv6
"""
import contextlib
import functools
import os
import socket
import struct
import subprocess
import sys

from tcph import netns, ss
from tcph.poll import eventually

RESET_ON_CLOSE = struct.pack('ii', 1, 0)
ONE_SHOT = os.path.join(os.path.dirname(__file__), 'one_shot.py')

#: Every recipe by its name.
RECIPES = {}


class Scene:
    """The open ends and the packet loss of one scene; all of it ends with the `with` block."""

    def __init__(self, pair, port=None, listener=None, family=4):
        self.pair = pair
        self.family = family
        self.listener = listener
        self.port = listener.getsockname()[1] if listener else port or pair.next_port()
        self.client = None
        self.server = None
        self.drops = []
        self.others = []
        self.host = None
        self.record = None
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Restores the network, then resets what is open: nothing of the scene lingers on."""
        self.restore()
        self._stack.close()
        for end in (self.client, self.server, *self.others):
            if end and end.fileno() >= 0:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                end.close()

    # The steps of the recipes.

    def listen(self, backlog=16):
        if not self.listener:
            self.listener = self._stack.enter_context(self.pair.b.socket(self.family))
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((self.pair.b.address[self.family], self.port))
            self.listener.listen(backlog)
        self.listener.settimeout(5)

    def connect(self):
        """A new client socket, connected."""
        client = self.pair.a.socket(self.family)
        self.others.append(client)
        client.settimeout(5)
        client.connect((self.pair.b.address[self.family], self.port))
        return client

    def begin_connect(self):
        """A new client socket whose handshake has begun."""
        client = self.pair.a.socket(self.family)
        self.others.append(client)
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect((self.pair.b.address[self.family], self.port))
        return client

    def link(self, accept=True):
        """A connection like any other."""
        self.listen()
        self.client = self.connect()
        if accept:
            self.server, _ = self.listener.accept()

    def drop(self, host, match=''):
        """Loses the segments of this scene's port that come in at `host`."""
        side = 'dport' if host is self.pair.b else 'sport'
        self.drops.append(host.drop(f'tcp {side} {self.port} {match}'))

    def restore(self):
        for drop in self.drops:
            drop.remove()
        self.drops.clear()

    def fill(self, sender):
        """Sends until the other end's window and this end's buffer are full."""
        sender.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(100000):
                sender.send(b'x' * 65536)

    def see(self, host, state, **wanted):
        """Waits until `host` has a socket of this scene in `state` that matches, and returns its record."""
        port = 'local_port' if host is self.pair.b else 'remote_port'
        self.host = host
        found = eventually(lambda: ss.find(host, state=state, **{port: self.port}, **wanted), timeout=10,
                           what=lambda: f'{state} {wanted} among {ss.find(host, **{port: self.port})}')
        return found[0]

    def look(self):
        """The record of scene.record's socket as it is now, or None if it is gone."""
        found = ss.find(self.host, cookie=self.record.cookie)
        return found[0] if found else None


def _recipe(make):
    """Turns the steps into a public function that returns a Scene, or leaves nothing behind if they fail."""

    @functools.wraps(make)
    def run(pair, port=None, listener=None, family=4, **options):
        scene = Scene(pair, port, listener, family)
        try:
            scene.record = make(scene, **options)
        except BaseException:
            scene.close()
            raise
        return scene

    RECIPES[make.__name__] = run
    return run


def _is_set(value):
    return value != 0


def _keepalive(end, idle, interval, count):
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)


@_recipe
def listening(scene, backlog=16):
    """A listener with nothing to do."""
    scene.listen(backlog)
    return scene.see(scene.pair.b, 'LISTEN')


@_recipe
def established(scene, keepalive=None):
    """A healthy connection. The record is the server's; keepalive=(idle, interval, count) is set at both ends."""
    scene.link()
    for end in (scene.client, scene.server) if keepalive else ():
        _keepalive(end, *keepalive)
    return scene.see(scene.pair.b, 'ESTAB', inode=_is_set, timer='keepalive' if keepalive else None)


@_recipe
def unaccepted(scene):
    """A connection that the server's program never accepts."""
    scene.link(accept=False)
    return scene.see(scene.pair.b, 'ESTAB', inode=0)


@_recipe
def close_wait(scene, unread=0, drained=None):
    """The client closed, the server does not. `drained`: it has read to the end of the stream, as it has where nothing is unread."""
    scene.link()
    scene.client.sendall(b'x' * unread)
    scene.client.close()
    record = scene.see(scene.pair.b, 'CLOSE-WAIT', receive_queue=unread + 1, inode=_is_set)
    if not drained if drained is not None else unread:
        return record
    while scene.server.recv(4096):
        pass
    return scene.see(scene.pair.b, 'CLOSE-WAIT', receive_queue=0)


@_recipe
def eof_unread(scene):
    """The client closed, and the server has not looked since."""
    scene.link()
    scene.client.close()
    return scene.see(scene.pair.b, 'CLOSE-WAIT', receive_queue=1, inode=_is_set)


@_recipe
def close_wait_unaccepted(scene):
    """The client came and went, and the server never accepted."""
    scene.link(accept=False)
    scene.client.close()
    return scene.see(scene.pair.b, 'CLOSE-WAIT', inode=0, receive_queue=_is_set)


@_recipe
def fin_wait2_held(scene):
    """The client half-closed and waits for the server's end, which never comes."""
    scene.link()
    scene.client.shutdown(socket.SHUT_WR)
    return scene.see(scene.pair.a, 'FIN-WAIT-2', inode=_is_set, timer=None)


@_recipe
def fin_wait2_orphan(scene):
    """The client closed, the server does not: for tcp_fin_timeout a record of the kernel's own, without tcp_info."""
    scene.link()
    scene.client.close()
    return scene.see(scene.pair.a, 'FIN-WAIT-2', inode=0, timer='timewait')


@_recipe
def fin_wait2_orphan_full(scene, linger2=80):
    """The same with a timeout above 60 s: first a whole socket, under a timer that looks like keepalive."""
    scene.link()
    scene.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, linger2)
    scene.client.close()
    return scene.see(scene.pair.a, 'FIN-WAIT-2', inode=0, timer='keepalive')


@_recipe
def fin_wait1_orphan(scene):
    """The client closed, and its FIN is lost for ever."""
    scene.link()
    scene.drop(scene.pair.b)
    scene.client.close()
    return scene.see(scene.pair.a, 'FIN-WAIT-1', inode=0, timer='on', send_queue=1)


@_recipe
def fin_wait1_held(scene):
    """The client half-closed, and its FIN is lost for ever."""
    scene.link()
    scene.drop(scene.pair.b)
    scene.client.shutdown(socket.SHUT_WR)
    return scene.see(scene.pair.a, 'FIN-WAIT-1', inode=_is_set, timer='on', send_queue=1)


@_recipe
def fin_wait1_zero_window(scene):
    """The client closed with data that a server which does not read leaves no room for."""
    scene.link()
    scene.fill(scene.client)
    scene.see(scene.pair.a, 'ESTAB', timer='persist')
    scene.client.close()
    return scene.see(scene.pair.a, 'FIN-WAIT-1', inode=0, timer='persist', send_queue=_is_set)


@_recipe
def last_ack(scene):
    """Both closed, the server last, and its FIN is lost for ever."""
    scene.link()
    scene.client.shutdown(socket.SHUT_WR)
    scene.see(scene.pair.b, 'CLOSE-WAIT')
    scene.drop(scene.pair.a)
    scene.server.close()
    return scene.see(scene.pair.b, 'LAST-ACK', inode=0, timer='on', send_queue=1)


@_recipe
def closing(scene):
    """Both closed at once; the client's FIN is lost for ever, the server's is not."""
    scene.link()
    scene.drop(scene.pair.b)
    scene.client.close()
    scene.see(scene.pair.a, 'FIN-WAIT-1')
    scene.server.close()
    return scene.see(scene.pair.a, 'CLOSING', inode=0, timer='on')


@_recipe
def time_wait(scene):
    """Both closed, the client first: it keeps the kernel's record of it for 60 s."""
    scene.link()
    scene.client.close()
    scene.see(scene.pair.b, 'CLOSE-WAIT')
    scene.server.close()
    return scene.see(scene.pair.a, 'TIME-WAIT', inode=0, timer='timewait')


@_recipe
def syn_sent(scene):
    """The client asks and nobody answers."""
    scene.drop(scene.pair.b)
    scene.client = scene.begin_connect()
    return scene.see(scene.pair.a, 'SYN-SENT', inode=_is_set, timer='on')


@_recipe
def syn_recv(scene):
    """The server answers and the client does not hear it."""
    scene.listen()
    scene.drop(scene.pair.a)
    scene.client = scene.begin_connect()
    return scene.see(scene.pair.b, 'SYN-RECV', inode=0, timer='on')


@_recipe
def syn_recv_deferred(scene):
    """No fault: TCP_DEFER_ACCEPT holds the server in SYN_RECV until the client, ESTABLISHED already, sends."""
    scene.listen()
    scene.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
    scene.client = scene.connect()
    return scene.see(scene.pair.b, 'SYN-RECV', inode=0)


@_recipe
def half_open(scene):
    """Each end is gone for the other, neither sends, and neither will ever know."""
    scene.link()
    scene.see(scene.pair.b, 'ESTAB', inode=_is_set)
    scene.drop(scene.pair.a)
    scene.drop(scene.pair.b)
    return scene.see(scene.pair.b, 'ESTAB', inode=_is_set, timer=None)


@_recipe
def half_open_forgotten(scene):
    """The client reset the connection, which the server did not hear; the network is whole again."""
    scene.link()
    scene.drop(scene.pair.b)
    scene.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    scene.client.close()
    eventually(scene.drops[0].packets, what='a lost RST')
    scene.restore()
    return scene.see(scene.pair.b, 'ESTAB', inode=_is_set, timer=None)


@_recipe
def half_open_unacked(scene, size=100):
    """The server sends to a client that is gone."""
    scene.link()
    scene.drop(scene.pair.a)
    scene.drop(scene.pair.b)
    scene.server.sendall(b'x' * size)
    return scene.see(scene.pair.b, 'ESTAB', timer='on', send_queue=size)


@_recipe
def half_open_keepalive(scene, idle=1, interval=1, count=60, probes=1):
    """The server's keepalive probes a client that is gone; at least `probes` went unanswered."""
    scene.link()
    _keepalive(scene.server, idle, interval, count)
    scene.drop(scene.pair.a)
    scene.drop(scene.pair.b)
    return scene.see(scene.pair.b, 'ESTAB', timer='keepalive', timer_retrans=lambda sent: sent >= probes)


@_recipe
def zero_window(scene):
    """The client sends to a server that does not read: the window is shut, and each probe is answered."""
    scene.link()
    scene.fill(scene.client)
    return scene.see(scene.pair.a, 'ESTAB', inode=_is_set, timer='persist', send_queue=_is_set)


@_recipe
def unread(scene, size=1000):
    """The server's program does not read what came."""
    scene.link()
    scene.client.sendall(b'x' * size)
    return scene.see(scene.pair.b, 'ESTAB', inode=_is_set, receive_queue=size)


@_recipe
def refused(scene):
    """The client asked at a closed port. Nothing remains to be seen: the record is None."""
    scene.client = scene.pair.a.socket(scene.family)
    scene.client.settimeout(5)
    try:
        scene.client.connect((scene.pair.b.address[scene.family], scene.port))
    except ConnectionRefusedError:
        return None
    raise AssertionError(f'port {scene.port} was not closed')


@_recipe
def accept_overflow(scene, backlog=2, clients=5):
    """More clients than the accept queue holds, which is one more than the backlog. The record is the listener's."""
    scene.listen(backlog)
    for _ in range(clients):
        scene.begin_connect()
    scene.see(scene.pair.a, 'SYN-SENT')
    return scene.see(scene.pair.b, 'LISTEN', receive_queue=backlog + 1, send_queue=backlog)


@_recipe
def syn_queue_overflow(scene, backlog=8, clients=40):
    """More half-open handshakes than the backlog allows; without SYN cookies the rest is dropped."""
    scene.pair.b.sysctl(tcp_syncookies=0)
    scene.listen(backlog)
    scene.drop(scene.pair.a)
    for _ in range(clients):
        scene.begin_connect()
    eventually(lambda: ss.count(scene.pair.b, state='SYN-RECV', local_port=scene.port) == backlog + 1,
               what=f'{backlog + 1} SYN-RECV')
    return scene.see(scene.pair.b, 'SYN-RECV')


@_recipe
def reset_held(scene):
    """The server reset the connection and the client's program still holds its end: no dump shows it, record None."""
    scene.link()
    scene.see(scene.pair.a, 'ESTAB')
    scene.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    scene.server.close()
    eventually(lambda: not ss.count(scene.pair.a, remote_port=scene.port), what='nothing of the connection')
    return None


@_recipe
def one_shot(scene, ended=True):
    """`nc -l -p PORT` under systemd, a process of its own: its listener is gone and it half-closed at once.

    `scene.process` is the process; the record is the server's end. `ended`: the client has read the end of the stream.
    """
    address = scene.pair.b.address[scene.family]
    scene.process = scene.pair.b.popen(sys.executable, '-IS', ONE_SHOT, address, scene.port,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    scene._stack.callback(scene.process.stdout.close)
    scene._stack.callback(netns.kill, scene.process)
    scene.process.stdout.readline()
    scene.client = scene.connect()
    while ended and scene.client.recv(4096):
        pass
    return scene.see(scene.pair.b, 'FIN-WAIT-2', inode=_is_set)
