"""The counts of states equal those of `ss -tan`, port by port, for sockets that do not change."""
import collections
import contextlib
import os
import subprocess

from tcph import exporter, netns, scenes, ss
from tcph.case import NetTest
from tcph.poll import eventually

STATES = {'ESTAB': 'established', 'SYN-SENT': 'syn_sent', 'SYN-RECV': 'syn_recv', 'FIN-WAIT-1': 'fin_wait1',
          'FIN-WAIT-2': 'fin_wait2', 'TIME-WAIT': 'time_wait', 'CLOSE-WAIT': 'close_wait', 'LAST-ACK': 'last_ack',
          'CLOSING': 'closing'}
LABELS = {*STATES.values(), 'close'}
HOLD_SOCKETS = os.path.join(exporter.BUILD, 'tests', 'hold_sockets')


def counts_of_ss(host, ports):
    """{(role, port, state): sockets} by `ss -tan` alone: which ports are services, the caller knows."""
    counts = collections.Counter()
    for line in host.run('ss', '-tanH').splitlines():
        state, _, _, local, remote = line.split()[:5]
        if state == 'LISTEN':
            continue
        local, remote = (int(end.rsplit(':', 1)[1]) for end in (local, remote))
        if local in ports:
            counts['server', local, STATES[state]] += 1
        elif remote in ports:
            counts['client', remote, STATES[state]] += 1
    return dict(counts)


def counts_of_page(page, ports):
    return {(labels['role'], int(labels['port']), labels['state']): value
            for labels, value in page.series('tcphealth_connections')
            if value and labels['state'] != 'close' and labels['port'].isdigit() and int(labels['port']) in ports}


def find_neighbours(pair):
    """The first segment over IPv6 waits until its neighbour is found; a scene's connect() does not."""
    with pair.a.socket(6) as client, contextlib.suppress(ConnectionRefusedError):
        client.settimeout(5)
        client.connect((pair.b.address[6], 9))


class StatesTest(NetTest):
    #: Every state that a dump can show, on ports of their own.
    RECIPES = (scenes.established, scenes.unaccepted, scenes.close_wait, scenes.close_wait_unaccepted,
               scenes.fin_wait2_held, scenes.fin_wait2_orphan, scenes.fin_wait2_orphan_full, scenes.fin_wait1_orphan,
               scenes.fin_wait1_held, scenes.fin_wait1_zero_window, scenes.last_ack, scenes.closing,
               scenes.time_wait, scenes.syn_sent, scenes.syn_recv, scenes.syn_recv_deferred, scenes.half_open,
               scenes.zero_window, scenes.one_shot)

    def test_every_state_is_counted_as_ss_counts_it(self):
        find_neighbours(self.pair)
        ports = set()
        for family in (4, 4, 6):
            for recipe in self.RECIPES:
                ports.add(self.scene(recipe, family=family).port)
        for host in (self.a, self.b):
            for source in ('netlink', 'procfs'):
                with self.subTest(host=host.name, source=source):
                    program = self.start_exporter(host, '--collector.source=' + source)
                    program.wait_for(lambda page, host=host: counts_of_page(page, ports) == counts_of_ss(host, ports),
                                     what=lambda page, host=host: f'{counts_of_page(page, ports)}, but ss '
                                                                  f'{counts_of_ss(host, ports)}')
                    self.every_state_has_a_series(program.page())
                    program.stop()
        seen = {state for host in (self.a, self.b) for _, _, state in counts_of_ss(host, ports)}
        self.assertEqual(seen, set(STATES.values()))

    def every_state_has_a_series(self, page):
        """0 where there is none: an alert must not vanish with its series."""
        states = collections.defaultdict(set)
        for labels, _ in page.series('tcphealth_connections'):
            states[labels['role'], labels['port']].add(labels['state'])
        # `close` is known by events alone.
        allowed = (LABELS, LABELS - {'close'})
        for pair, found in states.items():
            self.assertIn(found, allowed, pair)

    def test_reset_but_held_is_close(self):
        """No dump shows it, nor does ss; its destroy event has not come."""
        program = self.start_exporter(self.a)
        scene = self.scene(scenes.established)
        program.wait_value(1, 'tcphealth_connections', role='client', port=scene.port, state='established')
        scene.server.setsockopt(1, 13, scenes.RESET_ON_CLOSE)
        scene.server.close()
        where = {'role': 'client', 'port': scene.port}
        program.wait_value(1, 'tcphealth_connections', state='close', **where)
        self.assertEqual(ss.find(self.a, remote_port=scene.port), [])
        scene.client.close()
        program.wait_value(0, 'tcphealth_connections', state='close', **where)

    def test_twenty_thousand_sockets(self):
        ports = range(7001, 7009)
        program = self.start_exporter(self.b, '--collector.interval=500ms', '--no-log.stale')
        holder = self.b.popen(HOLD_SOCKETS, 10000, ports[0], len(ports), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
        self.addCleanup(netns.kill, holder)
        self.addCleanup(holder.stdin.close)
        with holder.stdout:
            self.assertEqual(holder.stdout.readline(), 'ready\n')
        eventually(lambda: {state for _, _, state in counts_of_ss(self.b, ports)} ==
                   {'established', 'fin_wait2', 'close_wait'}, what='the end of FIN_WAIT1')
        wanted = counts_of_ss(self.b, ports)
        self.assertEqual(sum(wanted.values()), 20000)
        page = program.wait_for(lambda page: sum(counts_of_page(page, ports).values()) == 20000)
        self.assertEqual(counts_of_page(page, ports), wanted)
        self.assertEqual(page.sum('tcphealth_ports_folded'), 0)
        self.assertEqual({labels['port'] for labels, _ in page.series('tcphealth_connections')},
                         {str(port) for port in (*ports, exporter.PORT)} | {'unknown'})
        for source in ('netlink', 'procfs'):  # one look alone
            with self.subTest(source=source):
                started = self.start_exporter(self.b, '--collector.source=' + source, '--no-log.stale', port=10794)
                self.assertEqual(counts_of_page(started.page(), ports), wanted)
                started.stop()
