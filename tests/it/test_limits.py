"""Which ports have series, since when, how many, and for how long; the sums always include everything."""
import contextlib
import socket

from tcph import expo, exporter, scenes, ss
from tcph.case import NetTest
from tcph.poll import eventually
from tcph.reasons import REASONS

STATES = ('established', 'syn_sent', 'syn_recv', 'fin_wait1', 'fin_wait2', 'time_wait', 'close', 'close_wait',
          'last_ack', 'closing')
PAIR_GAUGES = ('tcphealth_longest_silence_seconds', 'tcphealth_unanswered_keepalive_probes',
               'tcphealth_peer_loss_detection_seconds', 'tcphealth_receive_queue_bytes', 'tcphealth_send_queue_bytes')
PAIR_COUNTERS = ('tcphealth_retransmitted_segments_total', 'tcphealth_sent_segments_total',
                 'tcphealth_sent_bytes_total', 'tcphealth_received_bytes_total',
                 'tcphealth_opened_connections_total', 'tcphealth_closed_connections_total')


def pairs(page, role=None):
    """{(role, port)} that have series, without the client's unknown port, which always has."""
    return {(labels['role'], labels['port']) for labels, _ in page.series('tcphealth_connections')
            if role in (None, labels['role'])} - {('client', 'unknown')}


class LimitsTest(NetTest):
    def listen(self, port, host=None, backlog=16):
        listener = self.enterContext((host or self.b).socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.b.address[4], port))
        listener.listen(backlog)
        return listener

    def link(self, listener):
        """(client, server); both are reset after the test."""
        client = self.keep(self.a.socket())
        client.connect(listener.getsockname())
        return client, self.keep(listener.accept()[0])

    def keep(self, end):
        self.addCleanup(self.reset, end)
        return end

    def reset(self, end):
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
            end.close()

    def once(self, *args):
        done = exporter.run(self.b, '--once', *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return expo.check(done.stdout, expo.TEXT)

    def check_empty_pair(self, page, role, port, counters=True):
        where = {'role': role, 'port': port}
        for state in STATES:
            self.assertEqual(page.value('tcphealth_connections', state=state, **where), 0, (where, state))
        for reason in REASONS:
            self.assertEqual(page.value('tcphealth_stale_connections', reason=reason, **where), 0, (where, reason))
        for name in (*PAIR_GAUGES, *(PAIR_COUNTERS if counters else ())):
            self.assertEqual(page.value(name, **where), 0, (where, name))

    def sum_is_that_of_ss(self, page):
        """Over all ports of a page, state by state."""
        for state, label in (('ESTAB', 'established'), ('CLOSE-WAIT', 'close_wait'), ('FIN-WAIT-2', 'fin_wait2'),
                             ('SYN-RECV', 'syn_recv')):
            own = {exporter.PORT, 10794}
            there = ss.find(self.b, state=state, local_port=lambda port: port not in own,
                            remote_port=lambda port: port not in own)
            here = page.sum('tcphealth_connections', state=label) - page.sum('tcphealth_connections', state=label,
                                                                             port=exporter.PORT)
            self.assertEqual(here, len(there), state)

    def test_zeros_from_the_first_sample(self):
        self.listen(8080)
        program = self.start_exporter(self.b, '--ports.include=22,9000-9002', ready=False)
        first = eventually(lambda: self.first_page(program), what='the first page')
        self.check_empty_pair(first, 'server', 8080)
        for port in (22, 9000, 9001, 9002):
            for role in ('server', 'client'):
                self.check_empty_pair(first, role, port)
        self.assertNotIn(('client', '8080'), pairs(first))
        self.assertEqual(pairs(first) - {('client', str(exporter.PORT))},  # the first page may have seen its own scrape
                         {('server', '8080'), ('server', str(exporter.PORT))}
                         | {(role, str(port)) for role in ('server', 'client') for port in (22, 9000, 9001, 9002)})
        self.assertEqual(first.value('tcphealth_listeners', port=8080), 1)
        self.assertIsNone(first.value('tcphealth_listeners', port=9000))
        once = self.once('--ports.include=9000')
        where = {'role': 'client', 'port': 9000}
        self.assertEqual([once.value('tcphealth_stale_connections', reason=reason, **where)
                          for reason in REASONS if reason != 'dead'], [0] * (len(REASONS) - 1))

    def first_page(self, program):
        with contextlib.suppress(ConnectionRefusedError):
            answer = program.request('/metrics')
            page = expo.check(answer.body) if answer.status == 200 else None
            return page if page and page.series('tcphealth_connections') else None
        return None

    def test_excluded_ports_are_counted_elsewhere(self):
        self.link(self.listen(8080))
        program = self.start_exporter(self.b, '--ports.exclude=8080')
        page = program.wait_value(1, 'tcphealth_connections', role='server', port='other', state='established')
        self.assertNotIn(('server', '8080'), pairs(page))
        self.sum_is_that_of_ss(page)

    def test_a_full_table_folds(self):
        """Eight ports in use, and room for five."""
        ends = [self.link(self.listen(port)) for port in range(11001, 11009)]
        program = self.start_exporter(self.b, '--ports.max=5', f'--ports.include={exporter.PORT}')
        page = program.fresh_page()
        self.assertEqual(len(pairs(page, 'server') - {('server', 'other')}), 5)
        self.assertEqual(page.value('tcphealth_ports_folded', role='server'), 9 - 5)  # with the exporter's own port
        self.assertEqual(page.value('tcphealth_ports_folded', role='client'), 0)
        self.assertIn(('server', 'other'), pairs(page))
        self.sum_is_that_of_ss(page)
        self.assertEqual(page.sum('tcphealth_listeners'), 9)
        # What folded ports do is counted, once, and their sums never fall.
        total = self.received(page)
        for client, server in ends:
            client.sendall(b'x' * 100)
            self.assertEqual(len(server.recv(100)), 100)
        after = program.wait_for(lambda page: self.received(page) == total + 800)
        for series, value in page.samples.items():
            if series[0].endswith('_total'):
                self.assertGreaterEqual(after.samples.get(series, -1), value, series)

    def received(self, page):
        """By all servers but the exporter itself, which has its series: it is included."""
        self.assertIn(('server', str(exporter.PORT)), pairs(page))
        return (page.sum('tcphealth_received_bytes_total', role='server')
                - page.sum('tcphealth_received_bytes_total', role='server', port=exporter.PORT))

    def test_an_unused_pair_is_kept_and_goes(self):
        listener = self.listen(8080)
        program = self.start_exporter(self.b, '--ports.keep=1s')
        client, server = self.link(listener)
        program.wait_value(1, 'tcphealth_connections', role='server', port=8080, state='established')
        self.reset(server)
        self.reset(client)
        listener.close()
        page = program.wait_value(0, 'tcphealth_connections', role='server', port=8080, state='established')
        self.assertEqual(page.value('tcphealth_listeners', port=8080), 0)
        self.assertEqual(page.value('tcphealth_listen_queue_length', port=8080), 0)
        self.assertEqual(page.value('tcphealth_listen_queue_limit', port=8080), 0)
        self.assertEqual(page.value('tcphealth_opened_connections_total', role='server', port=8080), 1)
        program.wait_for(lambda page: ('server', '8080') not in pairs(page) and
                         not page.series('tcphealth_listeners', port=8080), timeout=5, what='no series of port 8080')
        # What it counted is not forgotten when it comes back; and once that has been seen, it goes on.
        self.link(self.listen(8080))
        page = program.wait_value(1, 'tcphealth_connections', role='server', port=8080, state='established')
        self.assertEqual(page.value('tcphealth_opened_connections_total', role='server', port=8080), 1)
        program.wait_value(2, 'tcphealth_opened_connections_total', role='server', port=8080, timeout=40)

    def test_the_pair_that_was_empty_longest_yields(self):
        program = self.start_exporter(self.a, '--ports.max=3')
        for port in (8001, 8002):  # two services that A used; the third pair is this test's scraping
            client, server = self.link(self.listen(port))
            program.wait_value(1, 'tcphealth_connections', role='client', port=port, state='established')
            self.reset(client)
            self.reset(server)
            program.wait_value(0, 'tcphealth_connections', role='client', port=port, state='established')
        full = {('client', '8002'), ('client', str(exporter.PORT))}
        self.assertEqual(pairs(program.fresh_page(), 'client'), full | {('client', '8001')})
        self.link(self.listen(8003))
        page = program.wait_value(1, 'tcphealth_connections', role='client', port=8003, state='established')
        self.assertEqual(pairs(page, 'client') - {('client', 'other')}, full | {('client', '8003')})

    def test_a_stale_connection_displaces(self):
        """The table is full of healthy connections when one gets stuck on a port that has no series."""
        for port in range(8001, 8004):
            self.link(self.listen(port))
        # The scrapes of this test are clients, too: their pair has a place for sure, the other three have the rest.
        program = self.start_exporter(self.a, '--ports.max=4', f'--ports.include={exporter.PORT}',
                                      '--stale.fin-wait2=300ms')
        full = {('client', str(port)) for port in (8001, 8002, 8003, exporter.PORT)}
        program.wait_for(lambda page: pairs(page, 'client') == full)
        stuck, _ = self.link(self.listen(9000))
        page = program.wait_value(1, 'tcphealth_ports_folded', role='client')
        self.assertEqual(pairs(page, 'client'), full | {('client', 'other')})
        stuck.shutdown(socket.SHUT_WR)
        page = program.wait_value(1, 'tcphealth_stale_connections', role='client', port=9000, reason='fin_wait2')
        self.assertEqual(len(pairs(page, 'client') & full), 3)
        self.assertEqual(page.value('tcphealth_ports_folded', role='client'), 1)
        self.assertEqual(page.sum('tcphealth_connections', role='client', state='established')
                         - page.sum('tcphealth_connections', role='client', state='established', port=exporter.PORT), 3)

    def test_included_ports_displace(self):
        for port in range(8001, 8006):
            self.link(self.listen(port))
        program = self.start_exporter(self.a, '--ports.max=4', f'--ports.include=22,23,{exporter.PORT}')
        page = program.fresh_page()
        self.assertLessEqual({('client', '22'), ('client', '23')}, pairs(page))
        self.assertEqual(len(pairs(page, 'client') - {('client', 'other')}), 4)
        self.assertEqual(page.value('tcphealth_ports_folded', role='client'), 4)
        self.assertEqual(page.sum('tcphealth_connections', role='client', state='established')
                         - page.sum('tcphealth_connections', role='client', state='established', port=exporter.PORT),
                         ss.count(self.a, state='ESTAB', remote_port=lambda port: 8001 <= port <= 8005))
