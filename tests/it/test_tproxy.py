"""TPROXY: connections to a port that a listener on another port accepts are not without a listener."""
import socket

from tcph.case import NetTest

IP_TRANSPARENT = 19  # not in the socket module before Python 3.13
DIVERT = '''table ip tcph_divert {
    chain pre {
        type filter hook prerouting priority mangle;
        tcp dport 8080 tproxy to :50080 meta mark set 1 accept
    }
}
'''


class TproxyTest(NetTest):
    def test_stale_connections_have_their_listener(self):
        try:
            self.b.run('nft', '-f', '-', stdin=DIVERT)
        except RuntimeError as error:
            self.skipTest('this kernel does not divert: %s' % error)
        self.b.run('ip', 'rule', 'add', 'fwmark', '1', 'lookup', '100')
        self.b.run('ip', 'route', 'add', 'local', '0.0.0.0/0', 'dev', 'lo', 'table', '100')
        listener, client = self.b.socket(), self.a.socket()
        self.addCleanup(listener.close)
        self.addCleanup(client.close)
        listener.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
        listener.bind(('0.0.0.0', 50080))
        listener.listen(4)
        client.settimeout(5)
        client.connect((self.b.address[4], 8080))
        server, _ = listener.accept()
        self.addCleanup(server.close)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(server.recv(1), b'')
        program = self.start_exporter(self.b, '--stale.close-wait=1s')
        page = program.wait_value(1, 'tcphealth_stale_connections', role='server', port=8080, reason='close_wait')
        self.assertEqual(page.value('tcphealth_listeners', port=8080), 1)
        self.assertEqual(page.value('tcphealth_listeners', port=50080), 1)
        listener.close()
        page = program.wait_value(0, 'tcphealth_listeners', port=50080)
        self.assertEqual(page.value('tcphealth_listeners', port=8080), 0)
        self.assertEqual(page.value('tcphealth_stale_connections', role='server', port=8080, reason='close_wait'), 1)


if __name__ == '__main__':
    import unittest
    unittest.main()
