"""The counters lose nothing, count nothing twice, never fall, and report what they could not see."""
import errno
import os
import signal
import socket
import struct
import threading
import time

from tcph import exporter, scenes, ss, watch
from tcph.case import NetTest
from tcph.poll import eventually

CLIENT, SERVER = 'client', 'server'
LOADGEN = os.path.join(exporter.BUILD, 'tests', 'loadgen')
OPENED, CLOSED = 'tcphealth_opened_connections_total', 'tcphealth_closed_connections_total'
SENT, RECEIVED = 'tcphealth_sent_bytes_total', 'tcphealth_received_bytes_total'
FAILED = 'tcphealth_failed_connects_total'
RETRANSMITTED, KERNEL_RETRANSMITTED = ('tcphealth_retransmitted_segments_total',
                                       'tcphealth_kernel_retransmitted_segments_total')
LOST, WIPED, FORGED = ('tcphealth_events_lost_total', 'tcphealth_wiped_closes_total',
                       'tcphealth_forged_messages_total')
NOBODY = 65534
CLIENT_BYTES, SERVER_BYTES = 300, 1700
LOAD_PORT, HELD_PORT = 900, 901


class Unprivileged:
    """A host whose programs run as nobody, with no capability."""

    def __init__(self, host):
        self.host = host

    def __getattr__(self, name):
        return getattr(self.host, name)

    def popen(self, *argv, **options):
        return self.host.popen('setpriv', '--reuid', NOBODY, '--regid', NOBODY, '--clear-groups', '--inh-caps=-all',
                               '--bounding-set=-all', '--pdeathsig', 'KILL', *argv, **options)


def figures(page, port, *names):
    """{(name, role): value} of that port."""
    return {(name, role): page.value(name, role=role, port=port) for name in names for role in (CLIENT, SERVER)}


def truth(count, client_bytes=CLIENT_BYTES, server_bytes=SERVER_BYTES):
    """What `count` orderly connections add up to: payload, one for the SYN of who opened it, one for each FIN."""
    return {(OPENED, CLIENT): count, (CLOSED, CLIENT): count, (OPENED, SERVER): count, (CLOSED, SERVER): count,
            (SENT, CLIENT): count * (1 + client_bytes + 1), (RECEIVED, CLIENT): count * (server_bytes + 1),
            (SENT, SERVER): count * (server_bytes + 1), (RECEIVED, SERVER): count * (client_bytes + 1)}


class BurstTest(NetTest):
    """20,000 connections in bursts, nearly all of which live and die between two samples."""

    COUNT = 20000
    ALL = (OPENED, CLOSED, SENT, RECEIVED)

    def setUp(self):
        super().setUp()
        self.b.sysctl(ip_local_port_range='1024 65000')

    def start(self, *flags, host=None):
        return self.start_exporter(host or self.b, f'--ports.include={LOAD_PORT}', *flags)

    def load(self, count, ending='orderly', address='127.0.0.1', batch=100):
        """Connections of known number and size, gone when it returns."""
        self.b.run(LOADGEN, address, LOAD_PORT, count, batch, CLIENT_BYTES, SERVER_BYTES, ending)

    def wait_figures(self, program, wanted):
        """Waits for the last event, and for one more sample, in which nothing may be counted twice."""
        def have(page):
            return {key: page.value(key[0], role=key[1], port=LOAD_PORT) for key in wanted}

        program.wait_for(lambda page: have(page) == wanted, timeout=30,
                         what=lambda page: f'{wanted}, now {have(page)}')
        page = program.wait_for(lambda page: True, timeout=30)
        self.assertEqual(have(page), wanted)
        return page

    def test_orderly_closes_are_exact(self):
        for address in ('127.0.0.1', '::1'):
            with self.subTest(address=address), \
                    exporter.Exporter(self.b, f'--ports.include={LOAD_PORT}', '--collector.interval=1s') as program, \
                    watch.Watch(program):
                self.load(self.COUNT // 2, address=address)
                page = self.wait_figures(program, truth(self.COUNT // 2))
                self.assertEqual((page.value(LOST), page.value(WIPED), page.value(FORGED)), (0, 0, 0))
                self.assertEqual(page.sum(FAILED) - page.sum(FAILED, port=exporter.PORT), 0)
                self.assertGreaterEqual(page.value('tcphealth_events_total'), self.COUNT)

    def test_a_fin_that_came_late_may_be_missing(self):
        """Who closes first is told dead before the other's FIN comes: that byte, and no other, is not counted."""
        program = self.start('--collector.interval=1s')
        count = self.COUNT // 4
        wanted = truth(count)
        most = wanted.pop((RECEIVED, CLIENT))
        with watch.Watch(program):
            self.load(count, 'close')
            page = self.wait_figures(program, wanted)
        self.assertTrue(most - count <= page.value(RECEIVED, role=CLIENT, port=LOAD_PORT) <= most)
        self.assertEqual(page.value(LOST), 0)

    def test_linger_0_is_opened_closed_and_wiped(self):
        """tcp_disconnect() leaves nothing of the client's figures, and the server's stay whole."""
        program = self.start('--collector.interval=1s')
        wanted = {key: value for key, value in truth(1000).items() if key[1] == SERVER}
        wanted[SENT, SERVER] -= 1000
        wanted[RECEIVED, SERVER] -= 1000
        with watch.Watch(program):
            self.load(1000, 'reset')
            page = self.wait_figures(program, wanted)
            page = program.wait_value(1000, WIPED)
        for name in (OPENED, CLOSED):
            self.assertEqual(page.sum(name, role=CLIENT) - page.sum(name, role=CLIENT, port=exporter.PORT), 1000)

    def test_small_buffer_loses_what_it_says(self):
        """As nobody, and stopped during the burst: what is missing is what is announced, to the connection."""
        program = self.start(host=Unprivileged(self.b))
        self.assertEqual(program.page().value(LOST), 0)
        # A scrape's own connection must not be among the losses.
        eventually(lambda: {record.state for record in ss.records(self.b)} <= {'LISTEN', 'TIME-WAIT'})
        self.pause(program)
        self.load(self.COUNT)
        self.wait_told()
        page = self.wait_heard(program)
        have = figures(page, LOAD_PORT, *self.ALL)
        clients, servers = have[OPENED, CLIENT], have[OPENED, SERVER]
        self.assertTrue(0 < clients + servers < 2 * self.COUNT, (clients, servers))
        # The last event of all, the listener's, was lost, too.
        self.assertEqual(clients + servers + page.value(LOST), 2 * self.COUNT + 1)
        self.assertEqual(have, {key: value * (clients if key[1] == CLIENT else servers)
                                for key, value in truth(1).items()})
        self.assertGreaterEqual(page.value('tcphealth_event_overruns_total'), 1)
        # The gap is over: from here on all is exact again.
        with watch.Watch(program):
            self.load(1000)
            page = self.wait_figures(program, {key: have[key] + value for key, value in truth(1000).items()})
        self.assertEqual(page.value(LOST), 2 * self.COUNT + 1 - clients - servers)

    def hold(self, listener, count):
        """Connections in b's loopback that stay: their ends, client before server."""
        pairs = []
        for _ in range(count):
            client = self.enterContext(self.b.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
            client.connect(listener.getsockname())
            pairs.append((client, self.enterContext(listener.accept()[0])))
        return pairs

    def close(self, pairs):
        for client, server in pairs:
            client.close()
            server.close()

    def test_after_an_overrun_counts_agree_with_the_table(self):
        """Ends of known connections are among the lost: what is open, opened and closed is right again all the same."""
        listener = self.enterContext(self.b.socket())
        listener.bind(('127.0.0.1', HELD_PORT))
        listener.listen(64)
        baseline = self.hold(listener, 40)
        program = self.start(f'--ports.include={HELD_PORT}', host=Unprivileged(self.b))
        later = self.hold(listener, 40)
        self.wait_agreement(program, baseline=40, opened=40, closed=0)
        before = program.page()
        self.pause(program)
        self.load(self.COUNT)
        self.wait_told()
        # The buffer is full: of these ends, and of these lives between two samples, nothing is heard.
        self.close(baseline[::2] + later[::2] + self.hold(listener, 10))
        later += self.hold(listener, 15)
        self.wait_told()
        page = self.wait_heard(program)
        self.assertGreaterEqual(page.value(LOST), 2 * (40 + 10))
        with watch.Watch(program):
            page = self.wait_agreement(program, baseline=40, opened=55, closed=40)
            for (name, labels), value in before.samples.items():
                if name.endswith('_total'):
                    self.assertGreaterEqual(page.samples.get((name, labels), -1), value, (name, labels))
            lost = page.value(LOST)
            self.close(baseline[1::2] + later[1:40:2] + later[40:])
            page = self.wait_agreement(program, baseline=40, opened=55, closed=95)
        self.assertEqual(page.value(LOST), lost)

    def wait_agreement(self, program, baseline, opened, closed):
        """A page that says so of both roles, and shows as open what `ss` does."""
        open_now = ss.count(self.b, state='ESTAB', local_port=HELD_PORT)
        self.assertEqual(open_now, baseline + opened - closed)
        wanted = {(OPENED, CLIENT): opened, (OPENED, SERVER): opened, (CLOSED, CLIENT): closed, (CLOSED, SERVER): closed}

        def shown(page, **labels):
            return sum(page.value('tcphealth_connections', role=role, port=HELD_PORT, **labels) for role in (CLIENT, SERVER))

        return program.wait_for(lambda page: figures(page, HELD_PORT, OPENED, CLOSED) == wanted and
                                shown(page, state='established') == 2 * open_now and shown(page, state='close') == 0,
                                timeout=30, what=lambda page: f'{wanted}, now {figures(page, HELD_PORT, OPENED, CLOSED)}, '
                                                              f'shown {shown(page, state="established")}')

    def pause(self, program):
        """Returns when each of its threads has stopped."""
        program.process.send_signal(signal.SIGSTOP)
        tasks = f'/proc/{program.process.pid}/task'

        def states():
            for task in os.listdir(tasks):
                with open(f'{tasks}/{task}/stat', encoding='ascii') as file:
                    yield file.read().rsplit(')', 1)[1].split()[0]

        eventually(lambda: set(states()) == {'T'})

    def netlink(self):
        """What waits in the host's netlink sockets, in bytes, and what found no room, in messages."""
        with self.b.entered(), open('/proc/thread-self/net/netlink', encoding='ascii') as file:
            names, *rows = (line.split() for line in file)
        return [sum(int(row[names.index(name)]) for row in rows) for name in ('Rmem', 'Drops')]

    def wait_told(self):
        """The kernel sends from a work queue, which may lag behind: until nothing has come for half a second."""
        last, since = None, 0

        def is_quiet():
            nonlocal last, since
            if self.netlink() != last:
                last, since = self.netlink(), time.monotonic()
            return last[1] > 0 and time.monotonic() - since > 0.5

        eventually(is_quiet, timeout=20)

    def wait_heard(self, program):
        """A page after the queue was emptied. No scrape before: its own connections would be lost as well."""
        program.process.send_signal(signal.SIGCONT)
        eventually(lambda: self.netlink()[0] == 0, timeout=exporter.patience(20))
        return program.fresh_page()

    def test_without_events_it_is_a_lower_bound(self):
        program = self.start('--no-collector.events')
        with watch.Watch(program):
            self.load(self.COUNT // 4)
            page = program.fresh_page()
        self.assertEqual(page.value('tcphealth_events_active'), 0)
        self.assertEqual(page.series(FAILED), [])
        have = figures(page, LOAD_PORT, *self.ALL)
        for key, most in truth(self.COUNT // 4).items():
            self.assertLessEqual(have[key], most, key)
        self.assertGreater(have[OPENED, CLIENT], 0)
        self.assertLess(have[SENT, SERVER], truth(self.COUNT // 4)[SENT, SERVER])


class ConnectionsTest(NetTest):
    """Single connections, some of which live through several samples."""

    def watch(self, host, *flags):
        return self.enterContext(watch.Watch(self.start_counting(host, *flags)))

    def test_a_long_life_is_counted_as_it_goes(self):
        """Bytes while it lives; what it did before the first sample is not counted, nor that it was opened."""
        old = self.scene(scenes.established)
        old.client.sendall(b'x' * 1000)
        eventually(lambda: len(old.server.recv(4096, socket.MSG_PEEK)) == 1000)
        program = self.watch(self.b).program
        new = self.scene(scenes.established)
        for scene, opened in ((old, 0), (new, 1)):
            where = {'role': SERVER, 'port': scene.port}
            scene.client.sendall(b'x' * 500)
            page = program.wait_value(500, RECEIVED, **where)
            self.assertEqual((page.value(OPENED, **where), page.value(CLOSED, **where)), (opened, 0))
            scene.client.close()
            page = program.wait_value(501, RECEIVED, **where)
            scene.server.close()
            page = program.wait_value(1, CLOSED, **where)
            self.assertEqual((page.value(OPENED, **where), page.value(RECEIVED, **where)), (opened, 501))

    def test_reset_and_closed_later_counts_once(self):
        """Gone from the dumps for three samples and more, and then its event comes: all of it once."""
        seen = self.watch(self.a)
        scene = self.scene(scenes.established)
        where = {'role': CLIENT, 'port': scene.port}
        scene.client.sendall(b'x' * 100)
        scene.server.recv(4096)
        scene.server.sendall(b'x' * 200)
        seen.program.wait_value(200, RECEIVED, **where)
        scene.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
        scene.server.close()
        seen.program.wait_value(1, 'tcphealth_connections', state='close', **where)
        samples = seen.wait(0.5)
        self.assertGreaterEqual(len(samples), 3)
        scene.client.close()
        page = seen.program.wait_value(0, 'tcphealth_connections', state='close', **where)
        seen.wait(0.3)
        page = seen.samples[-1].page
        self.assertEqual([page.value(name, **where) for name in (OPENED, CLOSED, SENT, RECEIVED)], [1, 1, 101, 200])

    def test_linger_0_of_a_known_connection(self):
        """What dumps had seen stays counted; the rest the kernel wiped, which is counted."""
        program = self.watch(self.a).program
        scene = self.scene(scenes.established)
        where = {'role': CLIENT, 'port': scene.port}
        scene.client.sendall(b'x' * 100)
        program.wait_value(101, SENT, **where)
        scene.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
        scene.client.close()
        page = program.wait_value(1, WIPED)
        self.assertEqual([page.value(name, **where) for name in (OPENED, CLOSED, SENT)], [1, 1, 101])

    def test_second_attempt_of_the_same_socket(self):
        """Refused, unseen while it is held, and connected again from the same port: opened once and closed once."""
        program = self.watch(self.a).program
        scene = self.enterContext(scenes.Scene(self.pair))
        where = {'role': CLIENT, 'port': scene.port}
        target = (self.b.address[4], scene.port)
        client = self.enterContext(self.a.socket())
        client.bind((self.a.address[4], 0))
        client.setblocking(False)
        scene.drop(self.b)
        self.assertEqual(client.connect_ex(target), errno.EINPROGRESS)
        program.wait_value(1, 'tcphealth_connections', state='syn_sent', **where)
        scene.restore()
        program.wait_value(1, 'tcphealth_connections', state='close', **where)
        scene.listen()
        eventually(lambda: client.connect_ex(target) == errno.EISCONN)
        server, _ = scene.listener.accept()
        program.wait_value(1, OPENED, **where)
        client.close()
        server.close()
        page = program.wait_value(1, CLOSED, **where)
        self.assertEqual(page.value(OPENED, **where), 1)

    def test_retransmissions_are_the_kernels(self):
        """Every seventh segment is lost in either direction: SYNs, data and FINs."""
        hosts = {self.a: CLIENT, self.b: SERVER}
        programs = {host: self.watch(host).program for host in hosts}
        scene = self.enterContext(scenes.Scene(self.pair))
        scene.listen()
        scene.drop(self.a, 'numgen inc mod 7 == 3')
        scene.drop(self.b, 'numgen inc mod 7 == 3')
        for _ in range(5):
            self.transfer(scene)
        scene.restore()
        for host in hosts:
            eventually(lambda: not [record for record in ss.records(host) if record.state not in ('LISTEN', 'TIME-WAIT')
                                    and scene.port in (record.local_port, record.remote_port)], timeout=20)
        for host, role in hosts.items():
            page = programs[host].fresh_page()
            self.assertEqual(page.value(LOST), 0)
            self.assertGreater(page.value(RETRANSMITTED, role=role, port=scene.port), 2)
            self.assertEqual(page.sum(RETRANSMITTED), self.kernels_own(host))
            self.assertEqual(page.value(KERNEL_RETRANSMITTED), self.kernels_own(host))

    def transfer(self, scene):
        client = scene.begin_connect()
        server, _ = scene.listener.accept()
        with client, server:
            client.settimeout(20)
            server.settimeout(20)
            eventually(lambda: ss.find(self.a, local_port=client.getsockname()[1], state='ESTAB'), timeout=20)
            for sender, receiver in ((client, server), (server, client)):
                sender.sendall(b'x' * 50000)
                sender.shutdown(socket.SHUT_WR)
                while receiver.recv(65536):
                    pass

    def kernels_own(self, host):
        with host.entered(), open('/proc/thread-self/net/snmp', encoding='ascii') as file:
            names, values = (line.split() for line in file if line.startswith('Tcp:'))
        return int(values[names.index('RetransSegs')])


class FailedConnectsTest(NetTest):
    def setUp(self):
        super().setUp()
        self.a.sysctl(tcp_syn_retries=1, tcp_syn_linear_timeouts=0)
        self.program = self.start_counting(self.a)
        self.enterContext(watch.Watch(self.program))
        self.port = self.pair.next_port()

    def connect(self, blocking, port=None):
        """An attempt; (the socket, its error)."""
        client = self.a.socket()
        client.setblocking(blocking)
        return client, client.connect_ex((self.b.address[4], port or self.port))

    def assert_failed(self, wanted):
        """{(port, reason): count} is all there is."""
        def have(page):
            return {(labels['port'], labels['reason']): value for labels, value in page.series(FAILED) if value}

        wanted = {(str(port), reason): count for (port, reason), count in wanted.items()}
        self.program.wait_for(lambda page: have(page) == wanted, what=lambda page: f'{wanted}, now {have(page)}')
        page = self.program.page()
        others = [role for role in (CLIENT, SERVER) if page.sum(OPENED, role=role, port=self.port)]
        self.assertEqual((others, page.value(WIPED)), ([], 0))

    def test_refused(self):
        for blocking in (False, False, True, True, True):
            client, _ = self.connect(blocking)
            if not blocking:
                eventually(lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED)
            client.close()
        self.assert_failed({(self.port, 'refused'): 2, ('unknown', 'refused'): 3})

    def test_timeout_is_a_syn_sent_again_in_vain(self):
        """Two wait to the end, and one gives up after the first repetition. All have been seen, hence their port."""
        self.b.drop(f'tcp dport {self.port}')
        blocking = threading.Thread(target=lambda: self.connect(True)[0].close())
        patient, impatient = self.connect(False)[0], self.connect(False)[0]
        blocking.start()
        sport = impatient.getsockname()[1]
        eventually(lambda: ss.find(self.a, local_port=sport, timer_retrans=1))
        impatient.close()
        eventually(lambda: patient.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ETIMEDOUT, timeout=10)
        patient.close()
        blocking.join(10)
        self.assert_failed({(self.port, 'timeout'): 3})

    def test_abandoned_is_closed_before_an_answer(self):
        self.b.drop(f'tcp dport {self.port}')
        for _ in range(3):
            self.connect(False)[0].close()
        self.assert_failed({(self.port, 'abandoned'): 3})

    def test_neither_a_success_nor_an_unused_socket_is_a_failure(self):
        scene = self.scene(scenes.established)
        scene.client.close()
        scene.server.close()
        self.a.socket().close()
        with self.a.socket() as bound:
            bound.bind((self.a.address[4], 0))
        self.program.wait_value(1, CLOSED, role=CLIENT, port=scene.port)
        self.assert_failed({})


class ForgeryTest(NetTest):
    """Whoever has CAP_NET_ADMIN in the namespace may send to the group that the kernel tells deaths to."""

    NETLINK_SOCK_DIAG, DESTROY_GROUP = 4, 1
    COOKIE = slice(60, 68)  # in struct inet_diag_msg behind struct nlmsghdr

    def netlink(self):
        with self.b.entered():
            return self.enterContext(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, self.NETLINK_SOCK_DIAG))

    def death_like_that_of(self, scene):
        """What the kernel would send for the scene's socket: another's notice, with its cookie."""
        listener = self.netlink()
        listener.bind((0, self.DESTROY_GROUP))
        listener.settimeout(5)
        other = self.scene(scenes.established, listener=scene.listener)
        other.client.close()
        other.server.close()
        message = bytearray()
        while message[20:22] != struct.pack('!H', scene.port):
            message[:] = listener.recv(8192)
        message[self.COOKIE] = struct.pack('<Q', scene.record.cookie)
        return bytes(message)

    def test_forged_deaths_are_skipped_and_counted(self):
        seen = self.enterContext(watch.Watch(self.start_counting(self.b)))
        program = seen.program
        scene = self.scene(scenes.established)
        where = {'role': SERVER, 'port': scene.port}
        forged = self.death_like_that_of(scene)
        program.wait_value(1, CLOSED, **where)
        before = figures(program.fresh_page(), scene.port, OPENED, CLOSED, SENT, RECEIVED)
        sender = self.netlink()
        for _ in range(5):
            sender.sendto(forged, (0, 1 << (self.DESTROY_GROUP - 1)))
        program.wait_value(5, FORGED)
        seen.wait(0.3)
        page = seen.samples[-1].page
        self.assertEqual(figures(page, scene.port, OPENED, CLOSED, SENT, RECEIVED), before)
        self.assertEqual(page.value('tcphealth_connections', state='established', **where), 1)
        # The real one counts.
        scene.client.close()
        scene.server.close()
        program.wait_value(2, CLOSED, **where)
        self.assertEqual(program.page().value(FORGED), 5)
