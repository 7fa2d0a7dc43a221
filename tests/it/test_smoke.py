"""The exporter starts, serves pages to Prometheus, sees a stale connection, and exits when told."""
import signal

from tcph import expo, exporter, prom, scenes, ss
from tcph.case import NetTest


class SmokeTest(NetTest):
    def test_both_formats_hold_the_same_families(self):
        program = self.start_exporter(self.b)
        text, openmetrics = program.page(expo.TEXT), program.page(expo.OPENMETRICS)
        self.assertEqual({name for name, _ in text.samples} - {name for name, _ in openmetrics.samples}, set())
        self.assertEqual(text.value('tcphealth_sample_success'), 1)

    def test_promtool_finds_nothing(self):
        program = self.start_exporter(self.b)
        self.assertEqual(prom.check_metrics(program.request('/metrics').body), '')

    def test_prometheus_scrapes_it(self):
        self.start_exporter(self.b)
        prometheus = self.enterContext(prom.Prometheus(self.b, ['127.0.0.1:10793']))
        prometheus.wait_for('tcphealth_sample_success', lambda found: [value for _, value in found] == [1])

    def test_close_wait_is_counted_at_both_ends(self):
        server = self.start_exporter(self.b, '--stale.close-wait=300ms')
        client = self.start_exporter(self.a)
        scene = self.scene(scenes.close_wait)
        where = {'role': 'server', 'port': scene.port}
        server.wait_value(1, 'tcphealth_connections', state='close_wait', **where)
        server.wait_value(1, 'tcphealth_stale_connections', reason='close_wait', **where)
        client.wait_value(1, 'tcphealth_connections', role='client', port=scene.port, state='fin_wait2')

    def test_every_socket_is_counted_once(self):
        program = self.start_exporter(self.b)
        for recipe in (scenes.close_wait, scenes.syn_recv, scenes.last_ack, scenes.unaccepted, scenes.established):
            self.scene(recipe)
        sockets = [record for record in ss.records(self.b)
                   if record.state != 'LISTEN' and exporter.PORT not in (record.local_port, record.remote_port)]
        self.assertEqual(len(sockets), 5)
        program.wait_for(lambda page: page.sum('tcphealth_connections')
                         - page.sum('tcphealth_connections', port=exporter.PORT) == len(sockets))

    def test_signals_end_it_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                self.start_exporter(self.b).stop(number)

    def test_once_prints_a_page(self):
        scene = self.scene(scenes.close_wait)
        done = exporter.run(self.b, '--once')
        self.assertEqual(done.returncode, 0, done.stderr)
        page = expo.check(done.stdout, expo.TEXT)
        self.assertEqual(page.value('tcphealth_connections', role='server', port=scene.port, state='close_wait'), 1)

    def test_bad_flag_is_refused_with_one_line(self):
        done = exporter.run(self.b, '--collector.interval=soon')
        self.assertEqual((done.returncode, done.stderr.count(b'\n')), (2, 1), done.stderr)
        for word in (b'collector.interval', b'soon'):
            self.assertIn(word, done.stderr)
