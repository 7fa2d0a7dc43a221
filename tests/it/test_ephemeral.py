"""Local ports run out: the ratio reaches 1 exactly when connects begin to fail, whatever takes the ports."""
import errno
import functools
import os
import socket
import tempfile
import time

from tcph import exporter, web
from tcph.case import NetTest

LOW, PORTS = 40000, 64
RATIO = 'tcphealth_ephemeral_ports_used_ratio'
NO_PORT = (errno.EADDRNOTAVAIL, errno.EADDRINUSE)


class EphemeralTest(NetTest):
    def setUp(self):
        super().setUp()
        self.a.sysctl(ip_local_port_range='%d %d' % (LOW, LOW + PORTS - 1))
        self.kept = []

    def listen(self, host=None, port=0, family=4):
        host = host or self.b
        listener = host.socket(family)
        listener.bind((host.address[family], port))
        listener.listen(256)
        self.addCleanup(listener.close)
        return listener

    def connect(self, listener, bind=None, family=4):
        """A pair of ends, client first; None where the kernel has no local port."""
        client = self.a.socket(family)
        self.addCleanup(client.close)
        client.settimeout(5)
        try:
            if bind is not None:
                client.bind((bind, 0))
            client.connect(listener.getsockname()[:2])
        except OSError as error:
            if error.errno not in NO_PORT:
                raise
            client.close()
            return None
        server, _ = listener.accept()
        self.addCleanup(server.close)
        self.kept.append((client, server))
        return client, server

    def fill(self, listeners, bind=None):
        """Connects to each in turn until the kernel has no local port: how many succeeded."""
        count = 0
        while self.connect(listeners[count % len(listeners)], bind):
            count += 1
            self.assertLessEqual(count, PORTS * len(listeners))
        return count

    def watch(self):
        """An exporter on host a that is read from host b, which has local ports left."""
        program = self.start_exporter(self.a, '--web.listen-address=:%d' % exporter.PORT, ready=False)
        program.request = functools.partial(web.request, self.b, program.port, address=self.a.address[4])
        program.wait_ready()
        return program

    def test_share_by_remote_port(self):
        busy, calm = self.listen(), self.listen()
        for listener, count in ((busy, 32), (calm, 8)):
            for _ in range(count):
                self.connect(listener)
        page = self.watch().wait_value(0.5, RATIO, port=busy.getsockname()[1])
        self.assertEqual(page.value(RATIO, port=calm.getsockname()[1]), 0.125)
        # The other end uses none of its own range: its local port is the service.
        page = self.start_exporter(self.b).fresh_page()
        self.assertIsNone(page.value(RATIO, port=busy.getsockname()[1]))

    def test_pairs_of_addresses_do_not_add_up(self):
        port = self.listen().getsockname()[1]
        self.listen(family=6, port=port)
        for family, count in ((4, 16), (6, 24)):
            for _ in range(count):
                client = self.a.socket(family)
                self.addCleanup(client.close)
                client.connect((self.b.address[family], port))
        self.watch().wait_value(0.375, RATIO, port=port)

    def test_reserved_ports(self):
        self.a.sysctl(ip_local_reserved_ports='%d-%d' % (LOW + 10, LOW + 29))
        listener = self.listen()
        self.assertEqual(self.fill([listener]), PORTS - 20)
        program = self.watch()
        program.wait_value(1, RATIO, port=listener.getsockname()[1])
        for end in self.kept.pop():
            end.close()
        # The last has left a TIME_WAIT that holds its port.
        for client, server in self.kept[:22]:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
            server.close()
            client.close()
        program.wait_value(0.5, RATIO, port=listener.getsockname()[1])

    def test_ports_that_listeners_hold(self):
        listener = self.listen()
        for i in range(20):
            self.listen(self.a, LOW + i)
        self.assertEqual(self.fill([listener]), PORTS - 20)
        self.watch().wait_value(1, RATIO, port=listener.getsockname()[1])

    def leave_time_wait(self, listener, count, bind=None):
        for _ in range(count):
            client, server = self.connect(listener, bind)
            client.shutdown(socket.SHUT_WR)
            server.close()
            client.close()
        self.kept.clear()

    def test_time_wait_holds_its_port(self):
        self.a.sysctl(tcp_tw_reuse=0)
        listener = self.listen()
        self.leave_time_wait(listener, PORTS)
        self.assertIsNone(self.connect(listener))
        self.watch().wait_value(1, RATIO, port=listener.getsockname()[1])

    def test_time_wait_that_connect_takes_over(self):
        self.a.sysctl(tcp_tw_reuse=1)
        listener = self.listen()
        port = listener.getsockname()[1]
        self.leave_time_wait(listener, PORTS)
        program = self.watch()
        time.sleep(1.1)
        program.wait_value(0, RATIO, port=port)
        self.assertEqual(program.fresh_page().value('tcphealth_connections', role='client', port=port, state='time_wait'),
                         PORTS)
        self.assertEqual(self.fill([listener]), PORTS)
        program.wait_value(1, RATIO, port=port)

    def test_without_timestamps_nothing_is_taken_over(self):
        self.a.sysctl(tcp_tw_reuse=1)
        self.b.sysctl(tcp_timestamps=0)
        listener = self.listen()
        program = self.watch()
        ends = self.connect(listener)
        program.wait_value(1, 'tcphealth_connections', role='client', port=listener.getsockname()[1], state='established')
        self.leave_time_wait(listener, PORTS - 1)
        time.sleep(1.1)
        self.assertIsNone(self.connect(listener))
        program.wait_value(1, RATIO, port=listener.getsockname()[1])
        self.assertIsNotNone(ends)

    def test_programs_that_bind_first(self):
        listeners = [self.listen() for _ in range(10)]
        program = self.watch()
        for count in range(48):
            self.connect(listeners[count % 10], self.a.address[4])
        page = program.wait_value(0.75, RATIO, port=listeners[0].getsockname()[1])
        self.assertEqual(page.value(RATIO, port=listeners[9].getsockname()[1]), 0.75)
        self.assertEqual(self.fill(listeners, self.a.address[4]), PORTS - 48)
        # Nor has anybody else a port, however few of his own he uses.
        self.assertIsNone(self.connect(listeners[0]))
        page = program.wait_value(1, RATIO, port=listeners[0].getsockname()[1])
        self.assertEqual(page.value(RATIO, port=listeners[9].getsockname()[1]), 1)

    def test_bound_ports_are_gone_for_others(self):
        bound, other = [self.listen() for _ in range(4)], self.listen()
        program = self.watch()
        for count in range(44):
            self.connect(bound[count % 4], self.a.address[4])
        self.assertEqual(self.fill([other]), 20)
        program.wait_value(1, RATIO, port=other.getsockname()[1])

    def test_bound_time_wait(self):
        self.a.sysctl(tcp_tw_reuse=1)
        listeners = [self.listen() for _ in range(8)]
        program = self.watch()
        for listener in listeners:
            self.leave_time_wait(listener, PORTS // 8, self.a.address[4])
        time.sleep(1.1)
        self.assertIsNone(self.connect(listeners[0], self.a.address[4]))
        self.assertIsNone(self.connect(listeners[0]))
        program.wait_value(1, RATIO, port=listeners[0].getsockname()[1])

    def test_many_peers_share_the_ports(self):
        """No pair of addresses is short of ports while connects succeed, also when what is left of a burst is odd."""
        listeners = [self.listen() for _ in range(10)]
        program = self.watch()
        for listener in listeners:
            for _ in range(40):
                self.assertIsNotNone(self.connect(listener))
        for listener in listeners:
            program.wait_value(0.625, RATIO, port=listener.getsockname()[1])
        for client, server in list(self.kept):
            if client.getsockname()[1] % 2 == 0:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
                client.close()
                server.close()
        for listener in listeners:
            program.wait_value(0.125, RATIO, port=listener.getsockname()[1])

    def test_hidden_settings(self):
        listener = self.listen()
        self.connect(listener)
        with tempfile.TemporaryDirectory() as procfs:
            for name in ('self', 'thread-self', 'net', 'stat'):
                os.symlink('/proc/' + name, os.path.join(procfs, name))
            done = exporter.run(self.a, '--once', '--path.procfs=' + procfs)
            self.assertNotIn(RATIO + '{', done.stdout.decode())
            program = self.start_exporter(self.a, '--path.procfs=' + procfs, '--collector.interval=200ms')
            for _ in range(3):
                self.assertIsNone(program.fresh_page().value(RATIO, port=listener.getsockname()[1]))
            self.assertEqual(program.log_text().count('ip_local_port_range'), 1)


if __name__ == '__main__':
    import unittest
    unittest.main()
