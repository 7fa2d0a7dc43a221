"""Netlink and /proc agree where both can; auto switches between them, and every counter stays monotonic."""
import contextlib
import os
import socket
import tempfile
import time

from tcph import exporter, expo, scenes, web
from tcph.case import NetTest
from tcph.poll import eventually

DENY_NETLINK = os.path.join(exporter.BUILD, 'tests', 'deny_netlink')
FIXTURE = os.path.join(exporter.ROOT, 'tests', 'fixtures', 'proc')
REFUSED = 'the kernel refuses netlink'
#: What /proc/net/tcp cannot know: tcp_info, destroy events, the backlog, the listener's drops.
UNKNOWN_TO_PROCFS = {
    'tcphealth_retransmitted_segments_total', 'tcphealth_sent_segments_total', 'tcphealth_sent_bytes_total',
    'tcphealth_received_bytes_total', 'tcphealth_opened_connections_total', 'tcphealth_closed_connections_total',
    'tcphealth_failed_connects_total', 'tcphealth_longest_silence_seconds',
    'tcphealth_listen_queue_limit', 'tcphealth_listen_queue_saturation_ratio', 'tcphealth_listen_drops_total',
}
#: Gauges of one moment that must agree exactly for sockets that are held still.
SAME = ('tcphealth_connections', 'tcphealth_receive_queue_bytes', 'tcphealth_send_queue_bytes', 'tcphealth_listeners',
        'tcphealth_listen_queue_length', 'tcphealth_keepalive_connections', 'tcphealth_unanswered_keepalive_probes')


class Denied:
    """A host on which netlink can be refused to the programs that run through it, and allowed again."""

    def __init__(self, host, switch):
        self.host = host
        self.switch = switch

    def __getattr__(self, name):
        return getattr(self.host, name)

    def popen(self, *argv, **options):
        return self.host.popen(DENY_NETLINK, self.switch, *argv, **options)

    def deny(self):
        with open(self.switch, 'w', encoding='ascii'):
            pass

    def allow(self):
        os.unlink(self.switch)


def source_of(page):
    """The one that is 1."""
    return [labels['source'] for labels, value in page.series('tcphealth_sample_source') if value == 1]


def counters(page):
    return {series: value for series, value in page.samples.items() if series[0].endswith('_total')}


def find_neighbours(pair):
    """The first segment over IPv6 waits until its neighbour is found; a scene's connect() does not."""
    with pair.a.socket(6) as client, contextlib.suppress(ConnectionRefusedError):
        client.settimeout(5)
        client.connect((pair.b.address[6], 9))


class SameAnswersTest(NetTest):
    def test_both_sources_agree(self):
        find_neighbours(self.pair)
        for family in (4, 6):
            for recipe in (scenes.established, scenes.unaccepted, scenes.close_wait, scenes.close_wait_unaccepted,
                           scenes.fin_wait2_held, scenes.fin_wait2_orphan, scenes.fin_wait1_orphan, scenes.last_ack,
                           scenes.closing, scenes.time_wait, scenes.syn_sent, scenes.syn_recv, scenes.unread,
                           scenes.one_shot):
                self.scene(recipe, family=family)
        self.scene(scenes.established, keepalive=(600, 10, 3))
        for host in (self.a, self.b):
            with self.subTest(host=host.name):
                pages = {source: expo.check(exporter.run(host, '--once', '--collector.source=' + source).stdout)
                         for source in ('netlink', 'procfs')}
                for source, page in pages.items():
                    self.assertEqual(source_of(page), [source])
                for name in SAME:
                    there = {source: {frozenset(labels.items()): value for labels, value in page.series(name)}
                             for source, page in pages.items()}
                    self.assertTrue(there['netlink'] or host is self.a, name)  # nobody listens at A
                    self.assertEqual(there['netlink'], there['procfs'], name)

    def test_what_procfs_cannot_know_is_absent(self):
        self.scene(scenes.established)
        pages = {source: self.start_exporter(self.b, '--collector.source=' + source, port=port).fresh_page()
                 for source, port in (('netlink', 10793), ('procfs', 10794))}
        names = {source: {name for name, _ in page.samples} for source, page in pages.items()}
        absent = names['netlink'] - names['procfs']
        self.assertLessEqual(UNKNOWN_TO_PROCFS - {'tcphealth_failed_connects_total'}, absent)
        self.assertFalse(names['procfs'] & UNKNOWN_TO_PROCFS)
        self.assertEqual(names['procfs'] - names['netlink'], set())
        self.assertEqual(source_of(pages['procfs']), ['procfs'])
        self.assertEqual(pages['procfs'].value('tcphealth_events_active'), 0)

    def test_stale_without_tcp_info(self):
        """The ages are those since first sight."""
        program = self.start_exporter(self.b, '--collector.source=procfs', '--stale.close-wait=300ms',
                                      '--stale.fin-wait2=300ms', '--stale.unaccepted=300ms', '--stale.closing=300ms', '--stale.eof-unread=300ms')
        for recipe, reason in ((scenes.close_wait, 'close_wait'), (scenes.eof_unread, 'eof_unread'), (scenes.one_shot, 'fin_wait2'),
                               (scenes.unaccepted, 'unaccepted'), (scenes.last_ack, 'closing')):
            with self.subTest(reason=reason):
                scene = self.scene(recipe)
                program.wait_value(1, 'tcphealth_stale_connections', role='server', port=scene.port, reason=reason)

    def test_procfs_at_another_path(self):
        """A recorded tree instead of this host's: nothing of this host is in the page."""
        self.scene(scenes.established)
        done = exporter.run(self.b, '--once', '--collector.source=procfs', '--path.procfs=' + FIXTURE)
        self.assertEqual(done.returncode, 0, done.stderr)
        page = expo.check(done.stdout, expo.TEXT)
        server = {'role': 'server', 'port': 8080}
        for state, count in (('established', 5), ('syn_recv', 1), ('close_wait', 1), ('last_ack', 1)):
            self.assertEqual(page.value('tcphealth_connections', state=state, **server), count, state)
        self.assertEqual(page.value('tcphealth_listeners', port=8080), 2)
        self.assertEqual(page.value('tcphealth_connections', role='client', port=443, state='syn_sent'), 1)
        self.assertEqual(page.value('tcphealth_connections', role='server', port=443, state='close_wait'), 1)
        self.assertEqual(page.value('tcphealth_connections', role='server', port=443, state='time_wait'), 1)
        self.assertEqual(page.value('tcphealth_sysctl_local_port', bound='low'), 20000)
        self.assertEqual(page.value('tcphealth_kernel_retransmitted_segments_total'), 101)
        self.assertEqual({labels['port'] for labels, _ in page.series('tcphealth_connections')},
                         {'8080', '443', 'unknown'})

    def test_no_procfs(self):
        with tempfile.TemporaryDirectory() as empty:
            done = exporter.run(self.b, '--once', '--collector.source=procfs', '--path.procfs=' + empty)
            self.assertEqual((done.returncode, done.stdout), (1, b''))
            self.assertIn(b'No such file', done.stderr)


class ChangeTest(NetTest):
    def setUp(self):
        super().setUp()
        directory = self.enterContext(tempfile.TemporaryDirectory(prefix='tcph-deny-'))
        self.host = Denied(self.b, os.path.join(directory, 'denied'))

    def wait_source(self, program, source):
        return program.wait_for(lambda page: source_of(page) == [source], timeout=15,
                                what=lambda page: f'{source}, not {source_of(page)}')

    def warnings(self, program):
        return [entry for entry in program.log_entries() if REFUSED in entry.get('msg', '')]

    def test_refused_from_the_start_and_back(self):
        scene = self.scene(scenes.close_wait)
        self.host.deny()
        program = self.start_exporter(self.host)
        where = {'role': 'server', 'port': scene.port, 'state': 'close_wait'}
        page = program.wait_value(1, 'tcphealth_connections', **where)
        self.assertEqual(source_of(page), ['procfs'])
        self.assertEqual(page.value('tcphealth_sample_success'), 1)
        self.assertEqual(page.value('tcphealth_sample_errors_total'), 0)
        begun = time.time()  # netlink is asked again after a second, and refuses again: nothing new
        program.wait_for(lambda page: page.value('tcphealth_last_sample_timestamp_seconds', tier='full') > begun + 1.5)
        self.assertEqual([entry['level'] for entry in self.warnings(program)], ['warn'])
        self.host.allow()
        page = self.wait_source(program, 'netlink')
        self.assertEqual(page.value('tcphealth_connections', **where), 1)
        self.assertIn(('tcphealth_sent_bytes_total', frozenset({('role', 'server'), ('port', str(scene.port))})),
                      page.samples)
        self.assertEqual(len(self.warnings(program)), 1)

    def talk(self, scene, size):
        """The server has sent so much more, and it was acknowledged."""
        scene.server.sendall(b'x' * size)
        self.assertEqual(len(scene.client.recv(size, socket.MSG_WAITALL)), size)

    def test_counters_neither_reset_nor_bend(self):
        scene = self.scene(scenes.established)
        program = self.start_exporter(self.host)
        where = {'role': 'server', 'port': scene.port}
        sent = 'tcphealth_sent_bytes_total'
        self.talk(scene, 1000)
        first = program.wait_value(1000, sent, **where)
        for turn in range(1, 3):
            before = counters(program.page())
            self.host.deny()
            self.wait_source(program, 'procfs')
            self.talk(scene, 500)  # while nobody can see it
            procfs = program.fresh_page()
            self.assertIsNone(procfs.value(sent, **where))
            self.assertEqual(procfs.value('tcphealth_connections', state='established', **where), 1)
            self.host.allow()
            self.wait_source(program, 'netlink')
            after = program.wait_value(1000 + 500 * turn, sent, **where)
            for series, value in before.items():
                self.assertGreaterEqual(after.samples.get(series, -1), value, series)
            # Seen twice, by different means, it is still one connection.
            self.assertEqual(after.value('tcphealth_opened_connections_total', **where),
                             first.value('tcphealth_opened_connections_total', **where))
            self.assertEqual(after.value('tcphealth_closed_connections_total', **where), 0)
        self.assertEqual(len(self.warnings(program)), 2)

    def test_connections_that_ended_meanwhile_are_counted_once(self):
        scenes_here = [self.scene(scenes.established, port=8080)]
        scenes_here += [self.scene(scenes.established, listener=scenes_here[0].listener) for _ in range(2)]
        program = self.start_exporter(self.host)
        program.wait_value(3, 'tcphealth_connections', role='server', port=8080, state='established')
        self.host.deny()
        self.wait_source(program, 'procfs')
        for scene in scenes_here[:2]:
            scene.client.close()
            scene.server.close()
        program.wait_value(1, 'tcphealth_connections', role='server', port=8080, state='established')
        self.host.allow()
        self.wait_source(program, 'netlink')
        program.wait_value(2, 'tcphealth_closed_connections_total', role='server', port=8080)
        for _ in range(3):
            page = program.fresh_page()
        self.assertEqual(page.value('tcphealth_closed_connections_total', role='server', port=8080), 2)

    def test_netlink_alone_fails_visibly(self):
        """--collector.source=netlink: no other source, but the failure is on the page, and its end."""
        scene = self.scene(scenes.close_wait)
        program = self.start_exporter(self.host, '--collector.source=netlink', '--collector.interval=200ms')
        where = {'role': 'server', 'port': scene.port, 'state': 'close_wait'}
        program.wait_value(1, 'tcphealth_connections', **where)
        self.host.deny()
        page = eventually(lambda: self.failed(program), what='a failed sample')
        self.assertEqual(page.value('tcphealth_connections', **where), 1)  # the last data stays
        eventually(lambda: program.request('/-/ready').status == 503, timeout=3, what='not ready')
        self.assertIn(b'not permitted', program.request('/-/ready').body)
        self.assertEqual(program.request('/-/healthy').status, 200)
        errors = program.page().value('tcphealth_sample_errors_total')
        eventually(lambda: program.page().value('tcphealth_sample_errors_total') >= errors + 3, what='more failures')
        failures = [entry for entry in program.log_entries() if entry.get('level') == 'error']
        self.assertEqual(len(failures), 1, failures)  # it is told once, not with each sample
        self.host.allow()
        program.wait_value(1, 'tcphealth_sample_success')
        self.assertEqual(program.request('/-/ready').status, 200)
        self.assertEqual(len([entry for entry in program.log_entries() if 'sampling works again' in entry['msg']]), 1)

    def failed(self, program):
        page = program.page()
        return page if page.value('tcphealth_sample_success') == 0 else None

    def test_never_good(self):
        """Not one sample: no socket is shown, but that it fails is."""
        self.host.deny()
        program = self.start_exporter(self.host, '--collector.source=netlink', ready=False)
        eventually(lambda: self.answers(program), timeout=10, what='an answer')
        eventually(lambda: program.request('/metrics').status == 200, what='a page')
        self.assertEqual(program.request('/-/ready').status, 503)
        page = eventually(lambda: self.failed(program), what='a failed sample')
        self.assertEqual(page.series('tcphealth_connections'), [])
        self.host.allow()
        program.wait_ready()
        program.wait_value(1, 'tcphealth_sample_success')

    def answers(self, program):
        try:
            return web.request(self.b, program.port, '/-/healthy').status == 200
        except OSError:
            return False
