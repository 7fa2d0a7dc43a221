"""The processor budget: full samples come as often as it allows, the states that get stuck with every interval.

A fixture of idle connections grows and shrinks; what a full sample costs is measured by the exporter itself, so the
test sets a budget that the small population fits and the large one does not.
"""

from tcph import scenes, ss
from tcph.case import NetTest

SOCKETS = 8000


class BudgetTest(NetTest):
    def hold(self, sockets):
        """Idle connections in b's loopback: their port and their ends, client before server."""
        listener = self.b.socket()
        listener.bind(('127.0.0.1', 0))
        listener.listen(4096)
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

    def test_one_tier_while_it_fits(self):
        program = self.start_exporter(self.b, '--collector.interval=200ms', '--collector.cpu-budget=1')
        for _ in range(5):
            page = program.fresh_page()
        self.assertEqual(self.interval(page, 'full'), 0.2)
        self.assertEqual(self.interval(page, 'states'), 0.2)
        self.assertLess(page.value('tcphealth_last_sample_timestamp_seconds', tier='states') -
                        page.value('tcphealth_last_sample_timestamp_seconds', tier='full'), 0.2)

    def test_two_tiers_and_back(self):
        port, ends = self.hold(SOCKETS)
        program = self.start_exporter(self.b, '--collector.interval=200ms', '--collector.cpu-budget=0.02',
                                      '--stale.close-wait=300ms')
        # Too dear: full samples are rarer than intervals, and say so.
        page = program.wait_for(lambda page: self.interval(page, 'full') >= 0.6, timeout=30)
        self.assertEqual(self.interval(page, 'states'), 0.2)
        self.assertEqual(page.value('tcphealth_connections', role='server', port=port, state='established'),
                         SOCKETS // 2)
        # What gets stuck is seen with every interval, and stands in one place only.
        client, server = ends[0], ends[1]
        client.close()
        page = program.wait_value(1, 'tcphealth_stale_connections', role='server', port=port, reason='close_wait',
                                  timeout=10)
        self.assertEqual(page.value('tcphealth_connections', role='server', port=port, state='close_wait'), 1)
        self.assertEqual(page.value('tcphealth_connections', role='server', port=port, state='established'),
                         SOCKETS // 2 - 1)
        self.assertEqual(ss.count(self.b, state='CLOSE-WAIT'), 1)
        # Counters are right across tiers: every close is counted once.
        for end in ends[2:]:
            end.close()
        server.close()
        page = program.wait_value(SOCKETS // 2, 'tcphealth_closed_connections_total', role='server', port=port,
                                  timeout=30)
        # The load is gone: one tier again, and no more changes.
        program.wait_for(lambda page: self.interval(page, 'full') <= 0.4, timeout=60)


if __name__ == '__main__':
    import unittest
    unittest.main()
