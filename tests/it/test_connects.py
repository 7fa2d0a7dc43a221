"""Why connects fail, in each way that the kernel lets them, and whose connections listeners turn away."""
import errno
import select
import socket
import struct
import time

from tcph.case import NetTest
from tcph.poll import eventually

FAILED, DROPS = 'tcphealth_failed_connects_total', 'tcphealth_listen_drops_total'
NOWHERE = ('2001:db8::1', 80)


def failures(page):
    """{(port, reason): count} of all that are not 0."""
    return {(labels['port'], labels['reason']): value for labels, value in page.series(FAILED) if value}


class ConnectsTest(NetTest):
    def setUp(self):
        super().setUp()
        self.program = self.start_counting(self.a)
        self.port = self.pair.next_port()

    def reject(self, host, hook):
        """ICMP in answer to the port, from that host."""
        host.run('nft', '-f', '-', stdin=f'''
            add table inet rejecting
            add chain inet rejecting c {{ type filter hook {hook} priority 0; }}
            add rule inet rejecting c tcp dport {self.port} reject
        ''')

    def fail(self, blocking, address=None, family=4, wait=True):
        """An attempt that fails, and is closed then; returns its error."""
        with self.a.socket(family) as client:
            client.setblocking(blocking)
            err = client.connect_ex(address or (self.b.address[family], self.port))
            if err == errno.EINPROGRESS and wait:
                self.assertTrue(select.select([], [client], [], 20)[1])
                err = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            return err

    def expect(self, wanted, timeout=10):
        wanted = {(str(port), reason): count for (port, reason), count in wanted.items()}
        self.program.wait_for(lambda page: failures(page) == wanted, timeout=timeout,
                              what=lambda page: f'{wanted}, now {failures(page)}')

    def test_reset(self):
        errors = {self.fail(blocking) for blocking in (False, True)}
        self.assertEqual(errors, {errno.ECONNREFUSED})
        self.expect({(self.port, 'refused'): 1, ('unknown', 'refused'): 1})

    def test_rejected_by_the_peer(self):
        self.reject(self.b, 'input')
        for blocking in (False, True):
            self.assertNotIn(self.fail(blocking), (0, errno.ETIMEDOUT))
        self.expect({(self.port, 'refused'): 2})  # a sample saw the second one wait

    def test_rejected_here_is_no_timeout(self):
        """The error comes while connect() holds the socket: the SYN is sent again, and the second one ends it."""
        self.reject(self.a, 'output')
        for blocking in (False, True, True, True):
            self.fail(blocking)
        self.expect({(self.port, 'refused'): 4})

    def test_no_route_to_an_ipv6_address(self):
        for _ in range(20):
            self.assertEqual(self.fail(True, NOWHERE, family=6), errno.ENETUNREACH)
        self.expect({('unknown', 'no_route'): 20})

    def test_no_local_port(self):
        self.a.sysctl(ip_local_port_range='50000 50063')
        listener = self.enterContext(self.b.socket())
        listener.bind((self.b.address[4], self.port))
        listener.listen(100)
        for _ in range(64):
            self.enterContext(self.a.socket()).connect(listener.getsockname())
        self.program.wait_value(64, 'tcphealth_connections', role='client', port=self.port, state='established')
        self.assertEqual(self.fail(True), errno.EADDRNOTAVAIL)
        self.expect({(self.port, 'no_local_port'): 1})

    def test_no_neighbour(self):
        self.assertIn(self.fail(False, (self.a.address[4].rsplit('.', 1)[0] + '.99', self.port)),
                      (errno.EHOSTUNREACH, errno.ETIMEDOUT))
        self.expect({(self.port, 'unreachable'): 1})

    def test_nobody_answers(self):
        self.a.sysctl(tcp_syn_retries=1, tcp_syn_linear_timeouts=0)
        self.b.drop(f'tcp dport {self.port}')
        self.assertEqual(self.fail(False), errno.ETIMEDOUT)
        self.expect({(self.port, 'timeout'): 1})

    def test_abandoned(self):
        self.b.drop(f'tcp dport {self.port}')
        self.assertEqual(self.fail(False, wait=False), errno.EINPROGRESS)
        self.expect({(self.port, 'abandoned'): 1})

    def test_the_program_sets_the_time(self):
        """TCP_USER_TIMEOUT ends it before the kernel's own limit."""
        self.b.drop(f'tcp dport {self.port}')
        with self.a.socket() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1500)
            self.assertEqual(client.connect_ex((self.b.address[4], self.port)), errno.ETIMEDOUT)
        self.expect({(self.port, 'timeout'): 1})  # a sample saw it wait

    def test_thrown_away(self):
        """SO_LINGER 0 wipes the event, as a refusal does to a blocking connect()."""
        self.b.drop(f'tcp dport {self.port}')
        with self.a.socket() as client:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            self.assertEqual(client.connect_ex((self.b.address[4], self.port)), errno.EINPROGRESS)
        self.program.wait_for(lambda page: page.sum(FAILED) == 1)
        self.assertEqual({reason for _, reason in failures(self.program.page())}, {'abandoned'})

    def test_peers_are_told(self):
        """In the answer to a question, whether the kernel tells the port or not, with the unit of one that a sample saw; and in the log."""
        begun = time.monotonic()
        self.b.drop(f'tcp dport {self.port}')
        self.assertEqual(self.fail(False, wait=False), errno.EINPROGRESS)
        closed = self.pair.next_port()
        for blocking in (False, True):
            for _ in range(5):
                self.fail(blocking, (self.b.address[4], closed))
        self.expect({(self.port, 'abandoned'): 1, (closed, 'refused'): 5, ('unknown', 'refused'): 5})
        answer = self.program.request('/api/v1/connections?role=client').json()['failed_connects']
        self.assertEqual({(row['address'], row['port'], row['reason'], row['count']) for row in answer},
                         {(self.b.address[4], self.port, 'abandoned', 1), (self.b.address[4], closed, 'refused', 5),
                          (self.b.address[4], 'unknown', 'refused', 5)})
        for row in answer:
            self.assertTrue(0 <= row['last_seconds_ago'] <= row['first_seconds_ago'] <= time.monotonic() - begun + 1, row)
        for port in (closed, 'unknown'):
            self.assertIn(f'msg="connects fail" peer={self.b.address[4]} port={port} reason=refused count=5 ',
                          self.program.log_text())
        self.assertNotIn('reason=abandoned', self.program.log_text())


class DropsTest(NetTest):
    def setUp(self):
        super().setUp()
        self.program = self.start_counting(self.b)

    def listen(self, backlog, **options):
        listener = self.enterContext(self.b.socket())
        for option, value in options.items():
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        listener.bind((self.b.address[4], self.pair.next_port()))
        listener.listen(backlog)
        return listener

    def test_health_checks_are_no_drops(self):
        """A full queue turns SYNs away; beside it, a listener is reset in its handshakes, and another defers."""
        full, checked = self.listen(0), self.listen(16, TCP_DEFER_ACCEPT=1)
        clients = []
        for listener, count in ((checked, 5), (full, 3)):
            for _ in range(count):
                client = self.enterContext(self.a.socket())
                client.setblocking(False)
                client.connect_ex(listener.getsockname())
                clients.append(client)
        for client in clients[:5]:
            eventually(lambda client=client: select.select([], [client], [], 0)[1])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            client.close()
        port = full.getsockname()[1]
        page = self.program.wait_for(lambda page: page.value(DROPS, port=port) >= 2)
        kernel = page.value('tcphealth_kernel_listen_drops_total')
        self.assertEqual(page.value(DROPS, port=checked.getsockname()[1]), 0)
        self.assertLessEqual(page.sum(DROPS), kernel)


if __name__ == '__main__':
    import unittest
    unittest.main()
