"""MPTCP ends its streams above TCP, which stays ESTABLISHED: the half-closed are told as what the programs see."""
import socket

from tcph import exporter, scenes
from tcph.case import NetTest
from tcph.poll import eventually

IPPROTO_MPTCP = 262


class MptcpTest(NetTest):
    def setUp(self):
        super().setUp()
        try:
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP).close()
        except OSError:
            self.skipTest('this kernel has no MPTCP')

    def socket(self, host, family):
        with host.entered():
            sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
        self.addCleanup(sock.close)
        sock.settimeout(5)
        return sock

    def connect(self, family=4):
        """Both ends of a connection on which something was said: client, server."""
        listener = self.socket(self.b, family)
        listener.bind((self.b.address[family], 0))
        listener.listen(4)
        client = self.socket(self.a, family)
        client.connect(listener.getsockname()[:2])
        server, _ = listener.accept()
        server.settimeout(5)
        self.addCleanup(server.close)
        server.sendall(b'hello')
        self.assertEqual(client.recv(5), b'hello')
        return client, server

    @staticmethod
    def ask(program, query):
        """The connections that the API shows, once it has time."""
        def answer():
            response = program.request('/api/v1/connections?' + query)
            return response.status == 200 and response
        return eventually(answer, what='an answer').json()['connections']

    def check(self, host, role, port, state, **stale):
        """One connection, in this state and stale for this reason; the other states are empty, in samples of both tiers."""
        program = self.start_exporter(host, '--stale.close-wait=1s', '--stale.fin-wait2=1s', '--stale.unread=1s')
        reason = stale['reason']
        for _ in range(2):
            page = program.wait_value(1, 'tcphealth_stale_connections', role=role, port=port, reason=reason)
            self.assertEqual(page.value('tcphealth_connections', role=role, port=port, state=state), 1)
            self.assertEqual(page.value('tcphealth_connections', role=role, port=port, state='established'), 0)
            program.fresh_page()
        rows = self.ask(program, 'port=%d' % port)
        self.assertEqual([(row['state'], row['reason']) for row in rows], [(state, reason)])
        self.assertEqual(self.ask(program, 'state=established&port=%d' % port), [])
        program.stop()

    def test_the_leak_of_the_story(self):
        for family in (4, 6):
            with self.subTest(family=family):
                client, server = self.connect(family)
                port = client.getpeername()[1]
                server.shutdown(socket.SHUT_WR)
                self.assertEqual(client.recv(5), b'')
                self.check(self.a, 'client', port, 'close_wait', reason='close_wait')
                self.check(self.b, 'server', port, 'fin_wait2', reason='fin_wait2')
                done = exporter.run(self.a, '--list-stale', '--stale.close-wait=1s')
                self.assertIn(b':%d ' % port, done.stdout)

    def test_data_before_the_end(self):
        client, server = self.connect()
        server.sendall(b'more')
        server.shutdown(socket.SHUT_WR)
        self.check(self.a, 'client', client.getpeername()[1], 'close_wait', reason='unread')

    def test_bytes_are_counted_once(self):
        client, server = self.connect()
        where = {'role': 'server', 'port': client.getpeername()[1]}
        program = self.start_exporter(self.b)
        program.wait_value(1, 'tcphealth_connections', state='established', **where)
        server.sendall(bytes(100000))
        client.recv(100000, socket.MSG_WAITALL)
        server.shutdown(socket.SHUT_WR)
        program.wait_value(1, 'tcphealth_connections', state='fin_wait2', **where)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
        client.close()
        server.close()
        page = program.wait_value(1, 'tcphealth_closed_connections_total', **where)
        self.assertIn(page.value('tcphealth_sent_bytes_total', **where), range(100000, 100003))
        self.assertEqual(page.value('tcphealth_opened_connections_total', **where), 0)

    def test_what_is_open_stays_so(self):
        client, server = self.connect()
        port = client.getpeername()[1]
        program = self.start_exporter(self.a)
        program.wait_value(1, 'tcphealth_connections', role='client', port=port, state='established')
        server.shutdown(socket.SHUT_WR)
        program.wait_value(1, 'tcphealth_connections', role='client', port=port, state='close_wait')
        client.close()
        server.close()
        page = program.wait_value(0, 'tcphealth_connections', role='client', port=port, state='close_wait')
        self.assertEqual(page.value('tcphealth_connections', role='client', port=port, state='established'), 0)
        program.wait_value(1, 'tcphealth_closed_connections_total', role='client', port=port)


if __name__ == '__main__':
    import unittest
    unittest.main()
