"""Each allocation fails, once and for good: no crash, no leak, no wrong value on the page, and it recovers."""
import base64
import contextlib
import itertools
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time

from robust import FULL, RobustTest, Through, hasten_samples, scaled, thread_ids
from tcph import exporter, expo, https, scenes

import allocfail

#: Rounds of the whole workload without a new place, after which all places are taken as found.
QUIET_ROUNDS = scaled(1, 4)
DEPTH = scaled(3, 12)  # callers that tell places apart
LIMIT_S = scaled(150, 3000)
HOLD_S = 0.25          # how long a failure for good lasts: two samples and more
#: gnutls 3.7.9 leaves half a key or certificate behind when it fails to take the rest.
LEAKY = '/libgnutls.so'
BURSTS = scaled((30, 300, 1000), (30, 100, 300, 1000, 3000))
WEB = ('basic_auth_users:\n  monitor: {password}\nhttp_server_config:\n  http2: false\n'
       '  headers:\n    X-Frame-Options: deny\nrate_limit:\n  interval: 1ms\n  burst: 1000\n')


class Burst:
    """Listeners and connections, more each time: tables grow only once to each size."""

    def __init__(self, test):
        self.pair = test.pair
        self.sizes = iter(BURSTS)
        self.size = next(self.sizes)
        self.places = None

    def run(self, places):
        """The same size again for as long as it found new places."""
        if places == self.places:
            self.size = next(self.sizes, self.size // 10)
        self.places = places
        ends = []
        listeners = [self.pair.b.socket() for _ in range(self.size // 3)]
        with self.pair.a.entered():
            clients = [socket.socket() for _ in listeners]
        for listener, client in zip(listeners, clients):
            listener.bind((self.pair.b.address[4], 0))
            listener.listen(4)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
            client.connect(listener.getsockname())
            ends.append(listener.accept()[0])
        time.sleep(0.12)  # a sample sees them
        for end in (*clients, *ends, *listeners):
            end.close()


class Workload:
    """One after the other, all that makes the exporter allocate while it runs."""

    def __init__(self, test):
        self.test = test
        self.burst = Burst(test)
        self.steps = [
            test.ask,
            lambda: test.ask(form=expo.OPENMETRICS),
            lambda: test.ask(headers={'Accept-Encoding': 'gzip'}),
            lambda: test.ask('/'),
            lambda: test.ask('/', headers={'Accept-Encoding': 'gzip'}),
            lambda: test.ask('/-/ready'),
            lambda: test.ask('/api/v1/ports'),
            lambda: test.ask('/api/v1/connections?holders=1'),
            lambda: test.ask('/api/v1/connections?port=%zz&port=1&x=y'),
            lambda: test.ask('/nothing?a=b', headers={'Cookie': 'a=b', 'X-Long': 'x' * 3000}),
            lambda: test.ask(method='POST', body='x' * 5000),
            lambda: test.program.process.send_signal(signal.SIGHUP),
            lambda: time.sleep(0.11),  # a sample
            lambda: self.burst.run(test.places()),
        ]

    def run(self):
        for step in self.steps:
            step()


class Connections:
    """TLS connections that are at different points, and how each goes on."""

    def __init__(self, test):
        self._stack = contextlib.ExitStack()
        begin = b'GET /metrics HTTP/1.1\r\nHost: localhost\r\n'
        whole = begin + b'Authorization: Basic ' + base64.b64encode(b'monitor:secret') + b'\r\n\r\n'
        self._moves = [
            (self.connect(test), self.hello(test)), (self.connect(test), b'\x16\x03\x01'), (self.connect(test), b''),
            *((self.connect(test, test.context), move) for move in (begin, whole, b'')),
            (self.connect(test, test.context, whole), whole), (self.connect(test, test.context, whole), None)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def connect(self, test, context=None, words=b''):
        with test.b.entered():
            client = socket.create_connection(('127.0.0.1', test.program.port), timeout=exporter.patience(5))
        if context:
            client = context.wrap_socket(client, server_hostname='localhost')
        self._stack.callback(client.close)
        if words:
            client.sendall(words)
            client.recv(1)
        return client

    @staticmethod
    def hello(test):
        """The first words of a client."""
        out = ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            test.context.wrap_bio(ssl.MemoryBIO(), out, server_hostname='localhost').do_handshake()
        return out.read()

    def go_on(self):
        for client, move in self._moves:
            with contextlib.suppress(OSError):
                if move is None:
                    client.close()
                else:
                    client.sendall(move)


def cpu_seconds(pid, thread):
    with open(f'/proc/{pid}/task/{thread}/stat', encoding='utf-8') as file:
        fields = file.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class AllocationFailureTest(RobustTest):
    allocator = context = None
    password = https.bcrypt('secret')

    def setUp(self):
        super().setUp()
        self.make_truth()

    def places(self):
        return self.allocator.control.places

    def launch(self, *args, settled=True):
        self.allocator = self.enterContext(allocfail.Allocator(DEPTH))
        self.program = self.start_exporter(Through(self.b, *self.allocator.launcher), '--ports.max=20', *args,
                                           ready=settled and not args)
        self.workload = Workload(self)
        self.assert_recovers('before anything fails')
        hasten_samples(self.program.process.pid)  # one that is in a sample for long is not waited for, and leaves no list of blocks
        self.allocator.note_maps(self.program.process.pid)

    def sweep(self, mode):
        """Makes place after place fail until no new one is found."""
        control = self.allocator.control
        quiet = 0
        steps = itertools.cycle(self.workload.steps)
        end = time.monotonic() + LIMIT_S
        while quiet < QUIET_ROUNDS * len(self.workload.steps) + len(BURSTS) and time.monotonic() < end:
            before = self.places()
            control.mode = mode
            next(steps)()
            if control.mode == allocfail.ALL:
                self.suffer()
            control.mode = allocfail.OFF
            quiet = quiet + 1 if self.places() == before else 0
            if self.places() != before:
                self.assert_recovers_from_place()
        self.assertEqual(control.overflow, 0)
        self.assertLess(time.monotonic(), end, f'{self.places()} places and no end')
        self.assertGreater(self.places(), 30)
        print(f'     {self.places()} places, {control.failures} failures of {control.allocations} allocations')

    def suffer(self):
        """While nothing can be allocated."""
        end = time.monotonic() + HOLD_S
        while time.monotonic() < end and self.program.process.poll() is None:
            self.ask(timeout=2)

    def assert_recovers_from_place(self):
        try:
            self.assert_recovers()
        except AssertionError as error:
            raise AssertionError(f'after {self.allocator.place()}: {error}') from None

    def assert_no_leak(self, normal):
        """Its last words are a list of blocks; `normal` are those of a run without failures."""
        self.program.stop()
        found = [f'{blocks} more blocks of {allocfail.explain(stack)}'
                 for stack, blocks in (self.allocator.leaks() - normal).items() if LEAKY not in stack]
        self.assertEqual(found, [], '\n'.join(found))

    def normal_blocks(self, *args):
        """What is never freed anyhow: caches of libraries."""
        self.launch(*args)
        self.allocator.record()
        self.workload.run()
        self.program.stop()
        return self.allocator.leaks()

    def try_all(self, mode, *args):
        normal = self.normal_blocks(*args)
        self.launch(*args)
        self.allocator.record()
        self.sweep(mode)
        self.assert_no_leak(normal)

    def test_once(self):
        self.try_all(allocfail.ONCE)

    def test_for_good(self):
        self.try_all(allocfail.FOR_GOOD)

    def use_https(self):
        site = https.Site(self.enterContext(tempfile.TemporaryDirectory()))
        site.write_tls(rest=WEB.format(password=self.password))
        self.context = context = site.context()

        def fetch(path, method='GET', headers=None, timeout=5, **_):
            session = https.Session(self.b, self.program.port, context)
            return session.request(path, method, {**https.basic('monitor', 'secret'), **(headers or {})}, timeout)

        self.fetch = fetch
        return f'--web.config.file={site.path}'

    def test_serving_threads_rest(self):
        """While nothing can be allocated, connections in each state that TLS knows keep no thread busy."""
        self.launch(self.use_https())
        connections = self.enterContext(Connections(self))
        self.allocator.control.mode = allocfail.ALL
        connections.go_on()
        pid, begun = self.program.process.pid, time.monotonic()
        before = {thread: cpu_seconds(pid, thread) for thread in thread_ids(pid, 'MHD-worker') + thread_ids(pid, 'http-accept')}
        time.sleep(1)
        passed = time.monotonic() - begun
        spent = {thread: cpu_seconds(pid, thread) - before[thread] for thread in before}
        self.allocator.control.mode = allocfail.OFF
        self.assertEqual(len(spent), 5)
        self.assertLess(max(spent.values()), passed / 4, spent)
        self.assert_recovers()

    if FULL:
        def test_https_once(self):
            self.try_all(allocfail.ONCE, self.use_https())

        def test_https_for_good(self):
            self.try_all(allocfail.FOR_GOOD, self.use_https())

    def test_start(self):
        """Each allocation of --once, from the first on: it tells of the failure, or is not harmed."""
        allocator = self.enterContext(allocfail.Allocator(scaled(4, 12)))
        argv = self.b.argv('setarch', '-R', *allocator.launcher, exporter.PROGRAM, '--once')
        places, end = -1, time.monotonic() + LIMIT_S
        while allocator.control.places != places and time.monotonic() < end:
            places = allocator.control.places
            allocator.control.mode = allocfail.ONCE
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=20, check=False)
            said = f'failure {places}: status {done.returncode}, {done.stderr}'
            self.assertIn(done.returncode, (0, 1), said)
            if done.returncode == 0:
                self.assertEqual(self.truth.lies_of(expo.check(done.stdout, expo.TEXT)), '', said)
            else:
                self.assertIn(b'Cannot allocate memory', done.stderr, said)
        self.assertLess(time.monotonic(), end)
        self.assertGreater(places, 20)
        print(f'     {places} places')
