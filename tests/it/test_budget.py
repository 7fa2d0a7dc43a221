"""The CPU budget: full samples come as often as it allows, stale states with every interval.

A population of idle connections grows and shrinks. The exporter itself measures the cost of a full sample; the test sets
a budget that is enough for the small population but not for the large one.
"""

import socket
import struct

from tcph import exporter, ss
from tcph.case import NetTest

SOCKETS = 4000


def ended(page):
    return page.value('tcphealth_last_sample_timestamp_seconds', tier='states')


class BudgetTest(NetTest):
    def hold(self, sockets):
        """Idle connections in b's loopback: their port and their ends, client before server."""
        listener = self.b.socket()
        listener.bind(('127.0.0.1', 0))
        listener.listen(4096)
        self.listener = listener
        port = listener.getsockname()[1]
        ends = []
        for _ in range(sockets // 2):
            client = self.b.socket()
            client.connect(('127.0.0.1', port))
            ends += [client, listener.accept()[0]]
        self.addCleanup(lambda: [end.close() for end in ends])
        self.addCleanup(listener.close)
        return port, ends

    def interval(self, page, tier):
        return page.value('tcphealth_sample_interval_seconds', tier=tier)

    def cost(self):
        """Processor seconds of a full sample of what is there, in this build and on this machine."""
        with exporter.Exporter(self.b, '--collector.interval=200ms') as program:
            program.fresh_page()
            begun = program.fresh_page()
            page = program.wait_for(lambda page: ended(page) - ended(begun) > 1.5)
        samples = round((ended(page) - ended(begun)) / 0.2)
        name = 'tcphealth_sample_cpu_seconds_total'
        return (page.value(name) - begun.value(name)) / samples

    def test_one_tier_while_it_fits(self):
        program = self.start_exporter(self.b, '--collector.interval=200ms', '--collector.cpu-budget=1')
        for _ in range(5):
            page = program.fresh_page()
        self.assertEqual(self.interval(page, 'full'), 0.2)
        self.assertEqual(self.interval(page, 'states'), 0.2)
        self.assertLess(page.value('tcphealth_last_sample_timestamp_seconds', tier='states') -
                        page.value('tcphealth_last_sample_timestamp_seconds', tier='full'), 0.2)

    def test_every_third_sample_is_full(self):
        port, ends = self.hold(20)
        program = self.start_exporter(self.b, '--collector.interval=200ms', '--collector.full-every=3',
                                      '--stale.close-wait=1s', '--stale.unread=1s')
        page = program.wait_value(10, 'tcphealth_connections', role='client', port=port, state='established')
        self.assertAlmostEqual(self.interval(page, 'full'), 0.6)
        self.assertEqual(self.interval(page, 'states'), 0.2)
        # A state that is in every sample, and a reason of established connections, which is not.
        ends[0].shutdown(socket.SHUT_WR)
        self.assertEqual(ends[1].recv(1), b'')
        ends[2].send(b'unread')
        page = program.wait_value(1, 'tcphealth_stale_connections', role='server', port=port, reason='close_wait')
        page = program.wait_value(1, 'tcphealth_stale_connections', role='server', port=port, reason='unread')
        for state, count in (('established', 9), ('fin_wait2', 1)):
            self.assertEqual(page.value('tcphealth_connections', role='client', port=port, state=state), count)
        # What opens and closes between two full samples is counted once, from its end.
        opened = page.value('tcphealth_opened_connections_total', role='client', port=port)
        closed = page.value('tcphealth_closed_connections_total', role='client', port=port)
        for _ in range(50):
            with self.b.socket() as client:
                client.connect(('127.0.0.1', port))
                self.listener.accept()[0].close()
                self.assertEqual(client.recv(1), b'')
        program.wait_value(opened + 50, 'tcphealth_opened_connections_total', role='client', port=port)
        program.wait_value(closed + 50, 'tcphealth_closed_connections_total', role='client', port=port)

    def test_two_tiers_and_back(self):
        # Between what a sample costs with them and without: nearer to the latter, so that the end of the load is sure to be seen.
        empty = self.cost()
        port, ends = self.hold(SOCKETS)
        budget = (empty + (self.cost() - empty) / 3) / 0.2
        program = self.start_exporter(self.b, '--collector.interval=200ms', f'--collector.cpu-budget={min(1, budget):.5f}',
                                      '--stale.close-wait=300ms')
        # Too dear: full samples are rarer than intervals, and say so.
        page = program.wait_for(lambda page: self.interval(page, 'full') >= 0.4, timeout=30)
        self.assertEqual(self.interval(page, 'states'), 0.2)
        self.assertEqual(page.value('tcphealth_connections', role='server', port=port, state='established'),
                         SOCKETS // 2)
        # What gets stuck is seen with every interval, and stands in one place only.
        client, server = ends[0], ends[1]
        client.close()
        self.assertEqual(server.recv(1), b'')
        page = program.wait_value(1, 'tcphealth_stale_connections', role='server', port=port, reason='close_wait',
                                  timeout=10)
        self.assertEqual(page.value('tcphealth_connections', role='server', port=port, state='close_wait'), 1)
        self.assertEqual(page.value('tcphealth_connections', role='server', port=port, state='established'),
                         SOCKETS // 2 - 1)
        self.assertEqual(ss.count(self.b, state='CLOSE-WAIT'), 1)
        # Counters are right across tiers: every close is counted once.
        for end in ends[2:]:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))  # leaves no TIME_WAIT
            end.close()
        server.close()
        page = program.wait_value(SOCKETS // 2, 'tcphealth_closed_connections_total', role='server', port=port,
                                  timeout=30)
        # The load is gone: one tier again, and no more changes.
        program.wait_for(lambda page: self.interval(page, 'full') == 0.2, timeout=60)


if __name__ == '__main__':
    import unittest
    unittest.main()
