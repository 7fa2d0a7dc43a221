"""Crowds of idle HTTP connections: a newcomer always gets in, and whoever crowds makes room for it."""
import socket
import time

from tcph import exporter, web
from tcph.case import NetTest
from tcph.exporter import patience
from tcph.poll import eventually

CROWD = 300  # more than there are places
IP_FREEBIND = 15  # for IPv6 as well
NETWORK = 'fd78:0:0'  # a /48 of host a


class PlacesTest(NetTest):
    def setUp(self):
        super().setUp()
        self.a.run('ip', '-6', 'route', 'add', 'local', f'{NETWORK}::/48', 'dev', 'lo')
        self.b.run('ip', '-6', 'route', 'add', f'{NETWORK}::/48', 'via', self.a.address[6])
        for host in (self.a, self.b):  # neighbours are looked for from the link's own addresses
            eventually(lambda host=host: 'tentative' not in host.run('ip', '-6', 'address'), timeout=patience(5))
        self.program = self.start_exporter(self.b, f'--web.listen-address=:{exporter.PORT}')

    def crowd(self, host, count, server, sources):
        """Connections that say nothing."""
        for number in range(count):
            client = self.enterContext(host.socket(6 if ':' in server else 4))
            client.settimeout(patience(2))
            client.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
            client.bind((sources[number % len(sources)], 0))
            client.connect((server, exporter.PORT))

    def assert_let_in(self, host, server):
        begun = time.monotonic()
        for _ in range(20):
            answer = web.request(host, exporter.PORT, '/metrics', address=server, timeout=patience(2))
            self.assertEqual(answer.status, 200)
        self.assertLess(time.monotonic() - begun, patience(5))  # none had to wait for a deadline

    def assert_answers(self, client):
        client.send(b'GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n')
        self.assertRegex(client.recv(4096), b'^HTTP/1.1 200 ')

    def test_one_address(self):
        self.crowd(self.a, 40, self.b.address[4], [self.a.address[4]])
        self.assert_let_in(self.a, self.b.address[4])
        self.assert_let_in(self.b, '127.0.0.1')

    def test_a_user_of_this_host(self):
        self.crowd(self.b, 60, '127.0.0.1', ['127.0.0.1', '127.0.0.2', '127.9.9.9'])
        self.assert_let_in(self.b, '127.0.0.1')

    def test_networks_of_one_prefix(self):
        kept = self.enterContext(self.b.socket())
        kept.settimeout(patience(2))
        kept.connect(('127.0.0.1', exporter.PORT))
        self.assert_answers(kept)
        self.crowd(self.a, CROWD, self.b.address[6], [f'{NETWORK}:{number:x}::1' for number in range(1, CROWD + 1)])
        self.assert_answers(kept)  # though it was idle for longest
        for host, server in ((self.b, '127.0.0.1'), (self.a, self.b.address[4]), (self.a, self.b.address[6])):
            self.assert_let_in(host, server)
