"""A random world of connections in which it is known, by construction, who is to blame.

    world = World(pair, seed, connections)
    for _ in range(steps): world.step()
    world.settle()
    world.expected(end)      # {reasons that are right}, from a model that knows what each actor did

Two programs and a path make a story: programs write, stop reading, read on, half-close and close; the path loses one
direction, or only large segments, and heals. The model keeps what was written, delivered and acknowledged, and whose
doing it is that the rest is not. It knows nothing of timers, records and thresholds. Each connection has a port of its
own, so the port and the host name one end.
"""
import contextlib
import dataclasses
import fcntl
import random
import socket
import struct
import termios
import time

from tcph.poll import eventually

SMALL, LARGE = 100, 5000
_PACKET_MAX = 400           # what a path that loses large segments still lets pass
_BRIEF = 1.5                # seconds that a path is broken at most before it heals: then the next retransmission is near
UP, DEAD, NARROW = 'up', 'dead', 'narrow'
PROGRAM, PEER_PROGRAM, PATH, NOBODY = 'program', 'peer_program', 'path', 'nobody'

#: Whose fault each reason is, as told by the end that shows it.
BLAME = {'unaccepted': PROGRAM, 'unread': PROGRAM, 'eof_unread': PROGRAM, 'close_wait': PROGRAM, 'dead': PROGRAM,
         'zero_window': PEER_PROGRAM, 'fin_wait2': PEER_PROGRAM, 'retransmit': PATH, 'closing': PATH, 'idle': NOBODY}


@dataclasses.dataclass
class Way:
    """One direction: bytes that its writer wrote, that arrived, and that the writer knows to have arrived."""
    path: str = UP
    path_since: float = 0
    written: int = 0
    arrived: int = 0
    known: int = 0
    read: int = 0
    large_lost: bool = False     # a large segment waits in front of a path that loses them
    full: bool = False           # the reader left no room
    fin: bool = False            # the writer has ended it
    fin_arrived: bool = False
    fin_known: bool = False
    fin_first: bool = False      # it arrived before the reader ended its own direction
    since: float = 0             # when what is outstanding was written, or the end arrived
    unread_since: float = 0
    full_since: float = 0
    end_since: float = 0


class End:
    """One end of a connection: a program and its socket."""

    def __init__(self, host):
        self.host = host
        self.sock = None
        self.accepted = True
        self.reads = True
        self.beats = False
        self.closed = False
        self.end_read = False    # a read returned the end of the stream

    def __repr__(self):
        words = [word for word in ('accepted', 'reads', 'beats', 'closed', 'end_read') if getattr(self, word)]
        return f'<{" ".join(words)}>'


def _socket(host):
    """Receives little and queues much, so that who is full stays full."""
    sock = host.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200000)
    return sock


class Connection:
    """A connection, the steps it took, and the model of it. `client` and `server` are its ends."""

    def __init__(self, world, port, seed):
        self.random = random.Random(seed)
        self.world = world
        self.port = port
        self.story = []
        self.client, self.server = End(world.pair.a), End(world.pair.b)
        self.to_server, self.to_client = Way(), Way()
        self.listener = _socket(world.pair.b)
        self.listener.bind((world.pair.b.address[4], port))
        self.listener.listen(4)
        self.client.sock = _socket(world.pair.a)
        self.client.sock.connect((world.pair.b.address[4], port))
        self.client.sock.setblocking(False)
        self.born = time.monotonic()
        self.client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.accepted = self.random.random() > 0.06
        if self.server.accepted:
            self.server.sock, _ = self.listener.accept()
            self.server.sock.setblocking(False)
            self.server.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A word each way: what lies unread at a client that never spoke may be a session ticket.
            self._write(self.client, SMALL)
            self._write(self.server, SMALL)
            eventually(lambda: self._pull(self.client) or self._pull(self.server) or
                       self.to_server.read == self.to_client.read == SMALL)
        self._flow()

    def close(self):
        for sock in (self.client.sock, self.server.sock, self.listener):
            if sock is not None and sock.fileno() >= 0:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                sock.close()

    def ends(self):
        return (self.client, self.server)

    def other(self, end):
        return self.server if end is self.client else self.client

    def out(self, end):
        return self.to_server if end is self.client else self.to_client

    def into(self, end):
        return self.to_client if end is self.client else self.to_server

    def name(self, end):
        return 'client' if end is self.client else 'server'

    # What an actor may do now.

    def step(self):
        """One random thing that an actor of this connection does."""
        choices = []
        for end in self.ends():
            if end.closed or not end.accepted:
                continue
            out, into = self.out(end), self.into(end)
            if self._is_deaf(end):
                continue
            if not out.fin and not self.other(end).closed:
                choices += [(3, self._write, end, SMALL), (2, self._write, end, LARGE), (1, self._beat, end)]
                if not self.other(end).reads and not out.full and self._is_up():
                    choices.append((3, self._fill, end))
            if not out.fin:
                choices.append((2, self._shut, end))
            if end.reads:
                choices.append((3, self._stop, end))
            elif self._is_up() or not into.full:
                choices.append((1, self._resume, end))
            if self._may_close(end, into):
                choices.append((1, self._close, end))
        if self._is_up():
            choices += [(1.2, self._break, way, how) for way in ('to_server', 'to_client') for how in (DEAD, NARROW)]
        elif time.monotonic() - max(self.to_server.path_since, self.to_client.path_since) < _BRIEF:
            choices.append((2, self._heal))
        if choices:
            _, act, *arguments = self.random.choices(choices, [choice[0] for choice in choices])[0]
            self.story.append(' '.join([act.__name__.strip('_'), *(
                self.name(word) if isinstance(word, End) else str(word) for word in arguments)]))
            act(*arguments)
        self._flow()

    def _may_close(self, end, into):
        """A close over unread data is a reset, and so is data for who has closed: other stories than these."""
        other = self.other(end)
        return end.reads and into.read == into.arrived and into.written == into.arrived and not other.beats

    def _is_deaf(self, end):
        """What it sends now arrives or not, as its kernel has room for it beside what it sends again: nobody can say."""
        return self._is_outstanding(end) and self.out(end).path != DEAD and not self.out(end).large_lost

    def _is_up(self):
        return self.to_server.path == self.to_client.path == UP

    # The steps.

    def _write(self, end, size):
        out = self.out(end)
        if out.fin or end.closed:
            return
        try:
            sent = end.sock.send(b'x' * size)
        except BlockingIOError:
            return
        if out.known == out.written:
            out.since = time.monotonic()
        out.written += sent
        if size > _PACKET_MAX and out.path == NARROW:
            out.large_lost = True

    def _beat(self, end):
        end.beats = True

    def beat(self):
        """The heartbeats of those that beat."""
        for end in self.ends():
            if end.beats and not self.out(end).full and not self._is_deaf(end):
                self._write(end, 10)
        self._flow()

    def _fill(self, end):
        out = self.out(end)
        refused = 0

        def is_full():
            """No room for a while: neither here nor in the reader's buffer."""
            nonlocal refused
            try:
                while True:
                    out.written += end.sock.send(b'x' * 65536)
                    refused = 0
            except BlockingIOError:
                refused += 1
            return refused > 3

        eventually(is_full, interval=0.01)
        out.full = True
        out.full_since = time.monotonic()

    def _shut(self, end):
        end.beats = False
        end.sock.shutdown(socket.SHUT_WR)
        self._finish(end)

    def _close(self, end):
        end.beats = False
        end.closed = True
        end.sock.close()
        if not self.out(end).fin:
            self._finish(end)

    def _finish(self, end):
        out = self.out(end)
        out.fin = True
        if out.known == out.written:
            out.since = time.monotonic()
        into = self.into(end)
        into.fin_first = into.fin_arrived

    def _stop(self, end):
        end.reads = False

    def _resume(self, end):
        end.reads = True
        self.out(self.other(end)).full = False

    def _break(self, way, how):
        self._set_path(way, how)

    def _heal(self):
        for way in ('to_server', 'to_client'):
            self._set_path(way, UP)

    def _set_path(self, name, how):
        way = getattr(self, name)
        if way.path != how:
            self.world.path(self.port, name, how)
        way.path, way.path_since = how, time.monotonic()
        way.large_lost = False

    # What follows from it.

    def _flow(self):
        """What arrives and becomes known on paths as they are, and what programs read of it."""
        now = time.monotonic()
        for end in self.ends():
            out, back = self.out(end), self.into(end)
            held_back = out.path == DEAD or out.large_lost
            if not held_back and not out.full:
                self._arrive(out, now)
            if not held_back and back.path != DEAD and not out.full:
                out.known = out.arrived
                out.fin_known = out.fin_arrived
        for end in self.ends():
            self._pull(end)

    @staticmethod
    def _arrive(out, now):
        if out.read == out.arrived and out.written != out.arrived:
            out.unread_since = now
        out.arrived = out.written
        if out.fin and not out.fin_arrived:
            out.fin_arrived, out.end_since = True, now

    def _pull(self, end):
        if not end.reads or end.closed or not end.accepted or end.sock is None:
            return
        into = self.into(end)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                data = end.sock.recv(1 << 20)
                if not data:
                    end.end_read = True
                    return
                into.read += len(data)

    def settle(self):
        """True when all that can arrive has arrived, and has been read where somebody reads."""
        self._flow()
        for end in self.ends():
            out, into = self.out(end), self.into(end)
            if end.reads and end.accepted and not end.closed:
                if into.read != into.arrived or (into.fin_arrived and not end.end_read):
                    return False
            if end.closed or end.sock is None:
                continue
            queued = struct.unpack('i', fcntl.ioctl(end.sock, termios.TIOCOUTQ, b'\0' * 4))[0]
            if out.known == out.written and queued > (1 if out.fin and not out.fin_known else 0):
                return False
            if self.state(end) and self.state(end) != _STATES.get(end.sock.getsockopt(socket.IPPROTO_TCP,
                                                                                     socket.TCP_INFO, 8)[0]):
                return False
        return True

    # What is true of it.

    def state(self, end):
        """The state in RFC 9293's terms; '' where none of the others: TIME_WAIT or nothing."""
        out, into = self.out(end), self.into(end)
        if not out.fin:
            return 'close_wait' if into.fin_arrived else 'established'
        if not out.fin_known:
            if not into.fin_arrived:
                return 'fin_wait1'
            return 'last_ack' if into.fin_first else 'closing'
        return '' if into.fin_arrived else 'fin_wait2'

    def unread(self, end):
        into = self.into(end)
        return into.arrived - into.read if not into.full else into.written - into.read

    def _is_outstanding(self, end):
        """What this end sent is not acknowledged, and the path is why."""
        out, back = self.out(end), self.into(end)
        if out.known == out.written and out.fin_known == out.fin:
            return False
        return out.path == DEAD or out.large_lost or back.path == DEAD

    def _streams(self, end):
        """Heartbeats of this end arrive, and it knows."""
        return end.beats and not self._is_outstanding(end) and not self.out(end).full

    def expected(self, end):
        """The reasons that are right at this end; {None} where it has none."""
        state = self.state(end)
        out, into = self.out(end), self.into(end)
        held, other = not end.closed, self.other(end)
        # Behind a shut window the path fails unnoticed until probes go unanswered: both are true.
        shut = {'zero_window'} if out.full else set()
        if not end.accepted and state in ('established', 'close_wait'):
            return {'unaccepted'}
        if state in ('fin_wait1', 'last_ack', 'closing'):
            return {'closing'} | shut if self._is_outstanding(end) else shut or {None}
        if state in ('established', 'close_wait') and self._is_outstanding(end) and not shut:
            return {'retransmit'}
        if held and self.unread(end) and state in ('established', 'fin_wait2', 'close_wait'):
            found = {'unread', 'retransmit'} if self._is_outstanding(end) else {'unread'}
            return found | self._unasked(end, state, shut)
        if state in ('established', 'close_wait') and shut:
            return {'retransmit'} | shut if self._is_outstanding(end) else shut
        if state == 'close_wait':
            if self._streams(end):
                return {None}
            return {'close_wait'} if end.end_read else {'eof_unread'}
        if state == 'fin_wait2':
            return {'fin_wait2'} if held and not self._streams(other) else {None}
        if state == 'established':
            if self._is_outstanding(other) and into.path != DEAD:
                return {None, 'idle'}  # what the peer sends again is heard, now and then
            return {None} if self._streams(end) or self._streams(other) else {'idle'}
        return {None, 'dead'} if held and into.fin_first else {None}

    def _unasked(self, end, state, shut):
        """What little a server says unasked may be a farewell, or a ticket of TLS, and is no data that a client should have read."""
        if end is not self.client or self.unread(end) > 1024:
            return set()
        return shut or ({'eof_unread'} if state == 'close_wait' else {'idle', None} if state == 'established' else set())

    def is_hidden(self, end, reason):
        """What a first look cannot tell: heartbeats set the kernel's clocks anew, and only the memory of one more look knows better."""
        other = self.other(end)
        return (reason in ('unread', 'fin_wait2', 'close_wait', 'eof_unread') and (end.beats or other.beats))

    def is_silent_loss(self, end, reason):
        """The peer has closed, and the path keeps it from this end, who cannot know."""
        return reason == 'fin_wait2' and self.into(end).fin and not self.into(end).fin_arrived

    def guilty(self):
        """Who does not do what it should: a set of ends and 'path'."""
        found = set()
        if any(self._is_outstanding(end) for end in self.ends()):
            found.add(PATH)
        for end in self.ends():
            into = self.into(end)
            if end.closed:
                continue
            if self.unread(end) or not end.accepted or (into.fin_arrived and not self.out(end).fin):
                found.add(end)
        return found

    def since(self, end, reason):
        """The moment before which it cannot have been so."""
        out, into = self.out(end), self.into(end)
        moments = {'unaccepted': self.born, 'unread': into.unread_since, 'eof_unread': into.end_since,
                   'close_wait': into.end_since, 'fin_wait2': out.since, 'zero_window': out.full_since,
                   'retransmit': out.full_since if out.full else out.since, 'closing': out.since}
        return moments.get(reason, self.born)


_STATES = {1: 'established', 4: 'fin_wait1', 5: 'fin_wait2', 8: 'close_wait', 9: 'last_ack', 11: 'closing'}


class World:
    """Connections over one pair of hosts, and the paths between them."""

    def __init__(self, pair, seed, count, first_port=20000):
        self.pair = pair
        self._changes = {'to_server': [], 'to_client': []}
        for host, field in ((pair.b, 'dport'), (pair.a, 'sport')):
            host.run('nft', '-f', '-', stdin=f'''
                add table inet world
                add set inet world dead {{ type inet_service; }}
                add set inet world narrow {{ type inet_service; }}
                add chain inet world input {{ type filter hook input priority 0; }}
                add rule inet world input tcp {field} @dead drop
                add rule inet world input tcp {field} @narrow meta length > {_PACKET_MAX} drop
            ''')
        self.connections = [Connection(self, first_port + i, f'{seed}.{i}') for i in range(count)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.connections:
            connection.close()
        for host in (self.pair.a, self.pair.b):
            host.run('nft', 'delete', 'table', 'inet', 'world')

    def path(self, port, name, how):
        """Notes a change of path, which apply() makes."""
        for kind in (DEAD, NARROW):
            self._changes[name].append(f'add element inet world {kind} {{ {port} }}')
            if kind != how:
                self._changes[name].append(f'delete element inet world {kind} {{ {port} }}')
        self._apply(name)

    def _apply(self, name):
        host = self.pair.b if name == 'to_server' else self.pair.a
        host.run('nft', '-f', '-', stdin='\n'.join(self._changes[name]))
        self._changes[name].clear()

    def step(self):
        """Each connection takes one step, and all that follows from it has come."""
        for connection in self.connections:
            connection.step()
        self.settle()

    def beat(self):
        for connection in self.connections:
            connection.beat()

    def settle(self):
        def told():
            return '\n'.join(describe(c) for c in self.connections if not c.settle())

        # After a healed path the next retransmission is a while away.
        eventually(lambda: all([c.settle() for c in self.connections]), timeout=20, what=told)


def describe(connection):
    """A connection and its story, for a person."""
    lines = [f'port {connection.port}: {"; ".join(connection.story)}']
    for end in connection.ends():
        lines.append(f'  {connection.name(end)}: {connection.state(end) or "gone"} {end} out={connection.out(end)} '
                     f'expected={connection.expected(end)}')
    return '\n'.join(lines)
