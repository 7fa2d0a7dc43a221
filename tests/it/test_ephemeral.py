"""Local ports run out: the share of the range that the busiest pair of addresses uses for a remote port."""

from tcph.case import NetTest

RANGE = (40000, 40099)


class EphemeralTest(NetTest):
    def setUp(self):
        super().setUp()
        self.a.sysctl(ip_local_port_range='%d %d' % RANGE)

    def listen(self, family=4):
        listener = self.b.socket(family)
        listener.bind((self.b.address[family], 0))
        listener.listen(64)
        self.addCleanup(listener.close)
        return listener

    def connect(self, listener, count, family=4):
        """Pairs of ends, client first."""
        ends = []
        for _ in range(count):
            client = self.a.socket(family)
            client.settimeout(5)
            client.connect(listener.getsockname()[:2])
            server, _ = listener.accept()
            self.addCleanup(client.close)
            self.addCleanup(server.close)
            ends.append((client, server))
        return ends

    def test_share_of_the_range_by_remote_port(self):
        busy, calm = self.listen(), self.listen()
        ends = self.connect(busy, 30)
        self.connect(calm, 10)
        port, other = busy.getsockname()[1], calm.getsockname()[1]
        program = self.start_exporter(self.a)
        page = program.wait_value(0.3, 'tcphealth_ephemeral_ports_used_ratio', port=port)
        self.assertEqual(page.value('tcphealth_ephemeral_ports_used_ratio', port=other), 0.1)
        # TIME_WAIT holds its port as well as any other state.
        for client, server in ends[:10]:
            client.close()
            server.close()
        page = program.wait_value(10, 'tcphealth_connections', role='client', port=port, state='time_wait')
        self.assertEqual(page.value('tcphealth_ephemeral_ports_used_ratio', port=port), 0.3)
        # The other end uses none of its own range: its local port is the service.
        page = self.start_exporter(self.b).fresh_page()
        self.assertIsNone(page.value('tcphealth_ephemeral_ports_used_ratio', port=port))

    def test_pairs_of_addresses_do_not_add_up(self):
        listener = self.b.socket(6)
        listener.bind(('::', 0))
        listener.listen(64)
        self.addCleanup(listener.close)
        port = listener.getsockname()[1]
        for family, count in ((4, 20), (6, 25)):
            for _ in range(count):
                client = self.a.socket(family)
                client.settimeout(5)
                client.connect((self.b.address[family], port))
                self.addCleanup(client.close)
        program = self.start_exporter(self.a)
        page = program.wait_value(45, 'tcphealth_connections', role='client', port=port, state='established')
        self.assertEqual(page.value('tcphealth_ephemeral_ports_used_ratio', port=port), 0.25)


if __name__ == '__main__':
    import unittest
    unittest.main()
