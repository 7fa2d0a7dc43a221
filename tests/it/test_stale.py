"""Every way to go stale has its reason, and a healthy connection has none."""
import contextlib
import socket
import threading
import time

from tcph import exporter, netns, scenes, ss, watch
from tcph.case import NetTest
from tcph.poll import eventually
from tcph.reasons import thresholds

CLIENT, SERVER = 'client', 'server'


def stale(page, role, port):
    """What is stale of that pair: {reason: count}, without zeros."""
    return {labels['reason']: value for labels, value in
            page.series('tcphealth_stale_connections', role=role, port=port) if value}


def keepalive(end, idle, interval, count):
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)


@contextlib.contextmanager
def repeating(step, pause=0.05):
    """Calls step() again and again, in a thread, while the block runs."""
    over = threading.Event()

    def run():
        with contextlib.suppress(OSError):
            while not over.wait(pause):
                step()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5)


class EveryWayTest(NetTest):
    """All scenes stand at the same time; the verdicts at both ends are in the table.

    A connection that is merely silent, with nothing that would notice, is idle: the threshold is short here.
    """

    ROWS = (
        # recipe, options, what is stale at the client's host, and at the server's
        ('established', {}, {'idle': 1}, {'idle': 1}),
        ('established', {'keepalive': (1, 1, 5)}, {}, {}),
        ('unaccepted', {}, {'idle': 1}, {'unaccepted': 1}),
        ('close_wait', {}, {}, {'close_wait': 1}),
        ('eof_unread', {}, {}, {'eof_unread': 1}),
        ('close_wait', {'unread': 10}, {}, {'unread': 1}),
        ('close_wait', {'unread': 10, 'drained': True}, {}, {'close_wait': 1}),
        ('close_wait_unaccepted', {}, {}, {'unaccepted': 1}),
        ('fin_wait2_held', {}, {'fin_wait2': 1}, {'eof_unread': 1}),
        ('fin_wait2_orphan', {}, {}, {'eof_unread': 1}),
        ('fin_wait2_orphan_full', {}, {}, {'eof_unread': 1}),
        ('fin_wait1_orphan', {}, {'closing': 1}, {'idle': 1}),
        ('fin_wait1_held', {}, {'closing': 1}, {'idle': 1}),
        ('fin_wait1_zero_window', {}, {'zero_window': 1}, {'unread': 1}),
        ('last_ack', {}, {'fin_wait2': 1}, {'closing': 1}),
        ('closing', {}, {'closing': 1}, {'closing': 1}),
        ('time_wait', {}, {}, {}),
        ('syn_sent', {}, {'syn_sent': 1}, {}),
        ('syn_recv', {}, {'syn_sent': 1}, {'syn_recv': 1}),
        ('syn_recv_deferred', {}, {'idle': 1}, {}),
        ('half_open', {}, {'idle': 1}, {'idle': 1}),
        ('half_open_forgotten', {}, {}, {'idle': 1}),
        ('half_open_unacked', {}, {'idle': 1}, {'retransmit': 1}),
        ('half_open_keepalive', {}, {'idle': 1}, {'keepalive': 1}),
        ('zero_window', {}, {'zero_window': 1}, {'unread': 1}),
        ('unread', {}, {'idle': 1}, {'unread': 1}),
        ('refused', {}, {}, {}),
        ('accept_overflow', {'backlog': 2, 'clients': 5}, {'idle': 3, 'syn_sent': 2}, {'unaccepted': 3}),
        ('syn_queue_overflow', {'backlog': 8, 'clients': 20}, {'syn_sent': 20}, {'syn_recv': 9}),
        ('one_shot', {}, {'close_wait': 1}, {'fin_wait2': 1}),
        ('one_shot', {'ended': False}, {'eof_unread': 1}, {'fin_wait2': 1}),
    )

    def test_each_has_its_reason_and_no_other(self):
        short = [self.start_exporter(host, *thresholds('1s'), port=10001) for host in (self.a, self.b)]
        rows = [(name, options, self.scene(scenes.RECIPES[name], **options).port, *verdicts)
                for name, options, *verdicts in self.ROWS]
        for program, side, role in zip(short, (0, 1), (CLIENT, SERVER)):
            wanted = {port: verdicts[side] for _, _, port, *verdicts in rows}
            page = self.wait_for_verdicts(program, role, wanted)
            for name, options, port, *verdicts in rows:
                with self.subTest(scene=name, **options, role=role):
                    self.assertEqual(stale(page, role, port), verdicts[side])
            self.assertEqual(page.sum('tcphealth_stale_connections', role=SERVER if role == CLIENT else CLIENT), 0)

    def wait_for_verdicts(self, program, role, wanted):
        """The first page on which all is as it should be, or a late one."""
        page = None

        def is_there():
            nonlocal page
            page = program.fresh_page()
            return all(stale(page, role, port) == verdict for port, verdict in wanted.items())

        with contextlib.suppress(AssertionError):
            eventually(is_there, timeout=exporter.patience(8))
        return page

    def test_none_before_its_threshold(self):
        """The same scenes under long thresholds: nothing is stale, however long it takes to make them."""
        programs = [self.start_exporter(host, *thresholds('1h', probes=255)) for host in (self.a, self.b)]
        for name, options, *_ in self.ROWS:
            self.scene(scenes.RECIPES[name], **options)
        for program in programs:
            page = program.fresh_page()
            self.assertGreater(page.value('tcphealth_sampled_sockets'), 20)
            self.assertEqual(page.sum('tcphealth_stale_connections'), 0)

    def test_dead_until_its_descriptor_is_closed(self):
        """Reset by the peer, and timed out by keepalive: no dump shows either, and the program holds on."""
        program = self.start_exporter(self.b, *thresholds('500ms'))
        lost = self.scene(scenes.half_open_keepalive, idle=1, interval=1, count=2)
        reset = self.scene(scenes.established)
        program.wait_value(1, 'tcphealth_connections', role=SERVER, port=reset.port, state='established')
        reset.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
        reset.client.close()
        for count, act in ((1, lambda scene: None), (0, lambda scene: scene.server.close())):
            for scene in (reset, lost):
                where = {'role': SERVER, 'port': scene.port}
                act(scene)
                page = program.wait_value(count, 'tcphealth_stale_connections', reason='dead', **where)
                self.assertEqual(page.value('tcphealth_connections', state='close', **where), count)
                self.assertEqual(stale(page, SERVER, scene.port), {'dead': 1} if count else {})

    def test_default_thresholds_are_exported(self):
        page = self.start_exporter(self.b).page()
        wanted = {'dead': 60, 'unaccepted': 30, 'eof_unread': 300, 'close_wait': 60, 'fin_wait2': 60, 'closing': 180,
                  'syn_sent': 10, 'syn_recv': 10, 'retransmit': 10, 'zero_window': 60, 'unread': 300, 'idle': 7200}
        self.assertEqual({labels['reason']: value for labels, value in
                          page.series('tcphealth_stale_threshold_seconds')}, wanted)
        self.assertEqual(page.series('tcphealth_stale_threshold_probes'), [({'reason': 'keepalive'}, 2)])

    def test_verdict_begins_at_its_threshold(self):
        """Sample by sample: not before 1 s, and at once after."""
        program = self.start_exporter(self.b, *thresholds('1h', close_wait='1s'))
        with watch.Watch(program) as seen:
            scene = self.scene(scenes.established)
            before = time.time()
            scene.client.close()
            closed = time.time()
            self.assertEqual(scene.server.recv(1), b'')
            seen.wait(2)
        for sample in seen.samples:
            have = stale(sample.page, SERVER, scene.port)
            if sample.ended - before < 1:
                self.assertEqual(have, {}, f'{sample.ended - before} s after the FIN')
            if sample.begun - closed > 1.15:
                self.assertEqual(have, {'close_wait': 1}, f'{sample.begun - closed} s after the FIN')

    def test_verdict_ends_with_its_cause(self):
        programs = {CLIENT: self.start_exporter(self.a, *thresholds('300ms', idle='1h')),
                    SERVER: self.start_exporter(self.b, *thresholds('300ms', idle='1h'))}
        stuck, half_open, unread, full, waiting = (self.scene(recipe) for recipe in (
            scenes.half_open_unacked, scenes.half_open_keepalive, scenes.unread, scenes.zero_window,
            scenes.unaccepted))
        wanted = ((SERVER, stuck, 'retransmit', stuck.restore),
                  (SERVER, half_open, 'keepalive', half_open.restore),
                  (SERVER, unread, 'unread', lambda: unread.server.recv(4096)),
                  (SERVER, waiting, 'unaccepted', lambda: waiting.others.append(waiting.listener.accept()[0])),
                  (SERVER, full, 'unread', lambda: None),
                  (CLIENT, full, 'zero_window', lambda: None))
        for role, scene, reason, cure in wanted:
            programs[role].wait_value(1, 'tcphealth_stale_connections', role=role, port=scene.port, reason=reason)
            cure()
        with repeating(lambda: full.server.recv(1 << 20), pause=0.001):
            for role, scene, reason, _ in wanted:
                programs[role].wait_value(0, 'tcphealth_stale_connections', role=role, port=scene.port,
                                          reason=reason)


class NotStaleTest(NetTest):
    """What looks stuck to a simpler program, and works."""

    def watch(self, host, *flags):
        return self.enterContext(watch.Watch(self.start_exporter(host, *flags)))

    def assert_none_stale(self, samples):
        self.assertGreaterEqual(len(samples), 5)
        for sample in samples:
            found = [row for row in sample.page.series('tcphealth_stale_connections') if row[1]]
            self.assertEqual(found, [])

    def test_half_closed_but_streaming(self):
        """A server that streams into a half-closed connection is at work; once it stops, both ends are stuck."""
        scene = self.scene(scenes.fin_wait2_held)
        self.assertEqual(scene.server.recv(1), b'')
        flags = thresholds('1h', close_wait='1500ms', fin_wait2='1500ms')

        def stream():
            scene.server.send(b'x')
            scene.client.recv(4096)

        with repeating(stream):
            client, server = self.watch(self.a, *flags), self.watch(self.b, *flags)
            server.wait(3)
            streamed = time.time()
        self.assert_none_stale([sample for sample in client.samples + server.samples if sample.ended < streamed])
        self.assertGreaterEqual(max(sample.page.value('tcphealth_oldest_state_age_seconds', role=SERVER,
                                                      port=scene.port, state='close_wait')
                                    for sample in server.samples), 2)
        client.program.wait_value(1, 'tcphealth_stale_connections', role=CLIENT, port=scene.port, reason='fin_wait2')
        server.program.wait_value(1, 'tcphealth_stale_connections', role=SERVER, port=scene.port, reason='close_wait')

    def test_many_idle_with_answered_keepalives(self):
        """1,500 connections that are probed every second, sampled every 100 ms."""
        scene = self.scene(scenes.listening, backlog=2048)
        ends = self.enterContext(contextlib.ExitStack())
        for _ in range(1500):
            client = scene.connect()
            server, _ = scene.listener.accept()
            keepalive(server, 1, 1, 5)
            ends.enter_context(client)
            ends.enter_context(server)
        seen = self.watch(self.b, *thresholds('1500ms'))
        samples = seen.wait(3)
        last = samples[-1].page
        self.assertEqual(last.value('tcphealth_keepalive_connections', role=SERVER, port=scene.port, keepalive='on'),
                         1500)
        self.assert_none_stale(samples)

    def test_one_probe_in_flight(self):
        """The first probe is lost, the next is answered: two thresholds are not reached in between."""
        program = self.start_exporter(self.b, *thresholds('1h', retransmit='300ms', idle='300ms'))
        with watch.Watch(program) as seen:
            scene = self.scene(scenes.half_open_keepalive, idle=1, interval=4, count=9)
            where = {'role': SERVER, 'port': scene.port}
            program.wait_value(1, 'tcphealth_unanswered_keepalive_probes', **where)
            scene.restore()
            program.wait_value(0, 'tcphealth_unanswered_keepalive_probes', **where)
        self.assert_none_stale(seen.after(0))

    def test_probed_by_the_peer_is_not_idle(self):
        """Probes that come in move none of the kernel's clocks, only segs_in."""
        scene = self.scene(scenes.established)
        keepalive(scene.client, 1, 1, 50)
        seen = self.watch(self.b, *thresholds('2s'))
        samples = seen.wait(3.5)
        self.assert_none_stale(samples)
        where = {'role': SERVER, 'port': scene.port}
        record = ss.find(self.b, state='ESTAB', local_port=scene.port)[0]
        self.assertGreater(int(record.info['lastack']), 2500)
        self.assertLess(max(sample.page.value('tcphealth_longest_silence_seconds', **where) for sample in samples), 3)
        scene.drop(self.b)
        seen.program.wait_value(1, 'tcphealth_stale_connections', reason='idle', **where)

    def test_bulk_receiver_is_not_silent(self):
        """It sends nothing but ACKs, so that nothing is ever acknowledged to it."""
        scene = self.scene(scenes.established)
        scene.client.settimeout(1)

        def stream():
            scene.client.send(b'x' * 10000)
            scene.server.recv(65536)

        with repeating(stream):
            programs = [self.watch(host, *thresholds('1500ms')) for host in (self.a, self.b)]
            samples = [sample for seen in programs for sample in seen.wait(2)]
            streamed = time.time()
        samples = [sample for sample in samples if sample.ended < streamed]
        self.assert_none_stale(samples)
        for sample in samples:
            self.assertLessEqual(sample.page.sum('tcphealth_longest_silence_seconds', port=scene.port), 1)

    def test_orphans_and_time_wait_never_are(self):
        """Not even where the thresholds are nothing at all: the kernel reaps them."""
        seen = self.watch(self.a, *thresholds('0s'))
        wanted = {self.scene(recipe).port: state for recipe, state in (
            (scenes.fin_wait2_orphan, 'fin_wait2'), (scenes.fin_wait2_orphan_full, 'fin_wait2'),
            (scenes.time_wait, 'time_wait'))}
        for sample in seen.wait(1):
            for port, state in wanted.items():
                self.assertEqual(sample.page.value('tcphealth_connections', role=CLIENT, port=port, state=state), 1)
                self.assertEqual(stale(sample.page, CLIENT, port), {})


class OwnLinkTest(NetTest):
    """Data that this host cannot get out: the kernel shows a window probe, or retransmissions that it never sends."""

    def assert_retransmit(self, break_link):
        program = self.start_exporter(self.b, *thresholds('1s', idle='1h'))
        scene = self.scene(scenes.established)
        break_link()
        scene.server.sendall(b'x' * 100)
        where = {'role': SERVER, 'port': scene.port}
        page = program.wait_value(1, 'tcphealth_stale_connections', reason='retransmit', **where)
        self.assertEqual(stale(page, SERVER, scene.port), {'retransmit': 1})

    def test_own_link_down(self):
        self.assert_retransmit(lambda: netns._run(['ip', '-n', self.b.name, 'link', 'set', 'veth0', 'down']))

    def test_peers_link_down(self):
        self.assert_retransmit(lambda: netns._run(['ip', '-n', self.a.name, 'link', 'set', 'veth0', 'down']))

    def test_own_filter_drops(self):
        self.assert_retransmit(lambda: self.b.run('nft', '-f', '-', stdin='''
            add table inet out
            add chain inet out output { type filter hook output priority 0; }
            add rule inet out output oifname veth0 meta l4proto tcp drop
        '''))


STALE_LINE, GREW_LINE, ENDED_LINE = 'stale connections', 'many more stale connections', 'stale connections ended'


class TellTest(NetTest):
    """--log.stale"""

    @staticmethod
    def lines(program, message):
        return [entry for entry in program.log_entries() if entry.get('msg') == message]

    def test_each_is_told_once_with_all_that_matters(self):
        program = self.start_exporter(self.b, *thresholds('1h', close_wait='1s', dead='1s'), '--log.format=logfmt')
        begun = time.time()
        scene = self.scene(scenes.close_wait)
        reset = self.scene(scenes.established)
        program.wait_value(1, 'tcphealth_connections', role=SERVER, port=reset.port, state='established')
        reset.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
        reset.client.close()
        for port, reason in ((scene.port, 'close_wait'), (reset.port, 'dead')):
            program.wait_value(1, 'tcphealth_stale_connections', role=SERVER, port=port, reason=reason)
        with watch.Watch(program) as seen:
            seen.wait(1)
        told = self.lines(program, STALE_LINE)
        lines = {line['port']: line for line in told}
        self.assertEqual(len(lines), len(told))
        self.assertEqual(set(lines), {str(scene.port), str(reset.port)})
        line = lines[str(scene.port)]
        self.assertEqual((line['role'], line['reason'], line['count'], line['level']), (SERVER, 'close_wait', '1', 'warn'))
        self.assertTrue(1 <= int(line['oldest_seconds']) <= time.time() - begun)
        self.assertEqual(line['peer'], f'{scene.record.remote}:{scene.record.remote_port}')
        self.assertEqual((lines[str(reset.port)]['role'], lines[str(reset.port)]['reason']), (SERVER, 'dead'))

    def test_one_that_grows_tenfold_and_its_end(self):
        program = self.start_exporter(self.b, *thresholds('1h', close_wait='1s'), '--log.format=logfmt')
        where = {'role': SERVER, 'reason': 'close_wait'}
        with contextlib.ExitStack() as crowd:
            first = crowd.enter_context(scenes.close_wait(self.pair))
            program.wait_value(1, 'tcphealth_stale_connections', port=first.port, **where)
            for _ in range(9):
                crowd.enter_context(scenes.close_wait(self.pair, listener=first.listener))
            program.wait_value(10, 'tcphealth_stale_connections', port=first.port, **where)
            [grew] = eventually(lambda: self.lines(program, GREW_LINE), what=program.log_tail)
            self.assertEqual((grew['port'], grew['count']), (str(first.port), '10'))
        [ended] = eventually(lambda: self.lines(program, ENDED_LINE), what=program.log_tail)
        self.assertEqual((ended['port'], ended['reason'], ended['most'], ended['level']),
                         (str(first.port), 'close_wait', '10', 'info'))
        self.assertEqual(len(self.lines(program, STALE_LINE)), 1)

    def test_a_healthy_host_is_told_nothing(self):
        """Idle pools: an end that a client has not read, and silence."""
        program = self.start_exporter(self.a, *thresholds('1h', eof_unread='500ms', idle='500ms'), '--log.format=logfmt')
        idle = self.scene(scenes.established)
        pool = self.scene(scenes.established)
        pool.server.close()
        for port, reason in ((idle.port, 'idle'), (pool.port, 'eof_unread')):
            program.wait_value(1, 'tcphealth_stale_connections', role=CLIENT, port=port, reason=reason)
        with watch.Watch(program) as seen:
            seen.wait(1)
        self.assertEqual(self.lines(program, STALE_LINE), [])

    def test_nothing_is_told_unless_wanted(self):
        program = self.start_exporter(self.b, *thresholds('0s'), '--no-log.stale')
        scene = self.scene(scenes.close_wait)
        program.wait_value(1, 'tcphealth_stale_connections', role=SERVER, port=scene.port, reason='close_wait')
        self.assertNotIn(STALE_LINE, program.log_text())
