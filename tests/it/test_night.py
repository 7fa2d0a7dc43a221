"""The incident of README.md, and what the metrics alone show of it.

Host b runs one-shot listeners (`nc -l -p PORT` under systemd): each accepts one connection, closes its listener and
half-closes at once. Host a opened the connections, never closes them, and fails to connect again.
"""
import errno
import math
import socket
import subprocess
import sys
import time

from tcph import exporter, netns, scenes
from tcph.case import NetTest
from tcph.poll import eventually

PORTS = (7001, 7002, 7003)


class NightTest(NetTest):
    def setUp(self):
        super().setUp()
        flags = ('--stale.close-wait=1s', '--stale.fin-wait2=1s', '--log.format=logfmt',
                 f'--ports.include={PORTS[0]}-{PORTS[-1]}')
        self.opener = self.start_exporter(self.a, *flags)
        self.listening = self.start_exporter(self.b, *flags)

    def serve_once(self, port):
        """One listener, up for long enough to be seen, and the one connection that it takes."""
        address = self.b.address[4]
        process = self.b.popen(sys.executable, '-IS', scenes.ONE_SHOT, address, port, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(netns.kill, process)
        process.stdout.readline()
        self.listening.wait_value(1, 'tcphealth_listeners', port=port)
        client = self.enterContext(self.a.socket())
        client.settimeout(5)
        client.connect((address, port))
        self.assertEqual(client.recv(1), b'')  # by then the listener is gone

    def attempt(self, port, blocking):
        """Connects anew, and is refused."""
        with self.a.socket() as client:
            client.setblocking(blocking)
            err = client.connect_ex((self.b.address[4], port))
            if err == errno.EINPROGRESS:
                eventually(lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED)
            else:
                self.assertEqual(err, errno.ECONNREFUSED)

    def test_what_the_metrics_tell(self):
        begun = time.time()
        for port in PORTS:
            self.serve_once(port)
        stuck = time.time()
        for port in PORTS:
            self.attempt(port, blocking=False)
        for _ in range(4):
            self.attempt(PORTS[0], blocking=True)
        for port in PORTS:
            self.opener.wait_value(1, 'tcphealth_stale_connections', role='client', port=port, reason='close_wait')
            self.listening.wait_value(1, 'tcphealth_stale_connections', role='server', port=port, reason='fin_wait2')
        eventually(lambda: time.time() - stuck > 2.2)
        opener, listening = self.opener.fresh_page(), self.listening.fresh_page()
        for port in PORTS:
            with self.subTest(port=port):
                self.assert_stuck(opener, 'client', port, 'close_wait', begun)
                self.assert_stuck(listening, 'server', port, 'fin_wait2', begun)
                self.assert_nobody_listens(port)
                self.assertEqual(opener.value('tcphealth_failed_connects_total', port=port, reason='refused'), 1)
        self.assertEqual(opener.value('tcphealth_failed_connects_total', port='unknown', reason='refused'), 4)
        self.assert_nothing_else(opener, listening)

    def assert_stuck(self, page, role, port, state, begun):
        """Which port, which side, how long, why; and that the kernel would never have noticed by itself."""
        where = {'role': role, 'port': port}
        self.assertEqual(page.value('tcphealth_connections', state=state, **where), 1)
        self.assertEqual(page.value('tcphealth_stale_connections', reason=state, **where), 1)
        age = page.value('tcphealth_oldest_state_age_seconds', state=state, **where)
        self.assertTrue(2 <= age <= time.time() - begun, age)
        self.assertEqual(page.value('tcphealth_peer_loss_detection_seconds', **where), math.inf)
        self.assertEqual(page.sum('tcphealth_connections', role='server' if role == 'client' else 'client',
                                  port=port), 0)

    def assert_nobody_listens(self, port):
        """The listener was seen, and is gone."""
        page = self.listening.page()
        self.assertEqual(page.value('tcphealth_listeners', port=port), 0)
        self.assertEqual(page.series('tcphealth_listener_info', port=port), [])

    def assert_nothing_else(self, opener, listening):
        """The pages accuse nobody else."""
        for page in (opener, listening):
            self.assertEqual(page.sum('tcphealth_stale_connections'), len(PORTS))
            self.assertEqual(page.sum('tcphealth_keepalive_connections', keepalive='on', port=PORTS[0]), 0)
        # The attempts to reach the exporter before it listened are the test's own.
        self.assertEqual(opener.sum('tcphealth_failed_connects_total')
                         - opener.sum('tcphealth_failed_connects_total', port=exporter.PORT), len(PORTS) + 4)
