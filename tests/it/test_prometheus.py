"""A real Prometheus reads the page, misses nothing, and answers the queries that the metrics are for."""
import errno
import os
import re
import select

from tcph import exporter, expo, prom, scenes
from tcph.case import NetTest

TARGET = '127.0.0.1:10793'
ALERTS = os.path.join(exporter.ROOT, 'deploy/mixin/generated/alerts.yaml')


def shipped_alerts():
    """The rule file, of which nothing is changed but that an alert fires at once."""
    with open(ALERTS, encoding='utf-8') as file:
        return re.sub(r'\bfor: "\w+"', 'for: "0s"', file.read())


class PrometheusTest(NetTest):
    def test_prometheus_takes_every_sample(self):
        stuck = [self.scene(scenes.close_wait, port=port) for port in (8080, 8080 + 1)]
        stuck.append(self.scene(scenes.close_wait, listener=stuck[0].listener))
        self.scene(scenes.half_open)
        self.scene(scenes.syn_recv)
        program = self.start_exporter(self.b, '--stale.close-wait=200ms')
        program.wait_value(2, 'tcphealth_stale_connections', role='server', port=8080, reason='close_wait')
        with prom.Prometheus(self.b, [TARGET]) as prometheus:
            self.assertEqual([value for _, value in prometheus.query('up')], [1])
            samples = len(program.fresh_page().samples)
            prometheus.wait_for('scrape_samples_scraped', lambda found: [value for _, value in found] == [samples])
            # Which service leaks?
            found = prometheus.wait_for('sum by (port) (tcphealth_connections{state="close_wait"})',
                                        lambda found: sum(value for _, value in found) == 3)
            self.assertEqual({labels['port']: value for labels, value in found if value}, {'8080': 2, '8081': 1})
            # Every series that Prometheus has of this target is one of the page, with its labels.
            stored = {(labels.pop('__name__'), frozenset(labels.items()))
                      for labels, _ in prometheus.query('{__name__=~"tcphealth_.*|process_.*"}')}
            stored = {(name, frozenset(pair for pair in labels if pair[0] not in ('job', 'instance')))
                      for name, labels in stored}
            # To Prometheus an empty label is none.
            self.assertEqual(stored, {(name, frozenset(pair for pair in labels if pair[1]))
                                      for name, labels in program.page().samples})
            types = {name: entries[0]['type'] for name, entries in prometheus.api('metadata').items()}
            for name in ('tcphealth_connections', 'tcphealth_stale_connections'):
                self.assertEqual(types[name], 'gauge')
            # An alert's expression, as an administrator would write it.
            self.assertEqual(
                {labels['port'] for labels, _ in prometheus.query(
                    'tcphealth_stale_connections{reason="close_wait"} > 0 and on () tcphealth_sample_success == 1')},
                {'8080', '8081'})

    def refuse(self, port, blocking):
        with self.a.socket() as client:
            client.setblocking(blocking)
            if client.connect_ex((self.b.address[4], port)) == errno.EINPROGRESS:
                select.select([], [client], [], 10)

    def test_the_first_failures_of_a_port_raise_the_alert(self):
        """Five connects are refused at a port that is new, and five more whose port the kernel no longer tells."""
        self.start_exporter(self.a)
        port = self.pair.next_port()
        with prom.Prometheus(self.a, [TARGET], shipped_alerts(), scrape_interval='15s') as prometheus:
            for blocking in (False, True):
                for _ in range(5):
                    self.refuse(port, blocking)
            fired = prometheus.wait_for('ALERTS{alertname="TCPHealthConnectsRefused",alertstate="firing"}',
                                        lambda found: len(found) == 2, timeout=45)
            self.assertEqual({labels['port'] for labels, _ in fired}, {str(port), 'unknown'})

    def test_the_checkers_find_nothing(self):
        for recipe in (scenes.close_wait, scenes.zero_window, scenes.syn_recv, scenes.unaccepted, scenes.one_shot):
            self.scene(recipe)
        for flags in ((), ('--collector.source=procfs',), ('--web.disable-exporter-metrics',),
                      ('--ports.max=1', '--ports.include=1-20')):
            with self.subTest(flags=flags):
                program = self.start_exporter(self.b, '--stale.close-wait=0', *flags)
                program.fresh_page()
                self.assertEqual(prom.check_metrics(program.request('/metrics').body), '')
                text, openmetrics = program.page(expo.TEXT), program.page(expo.OPENMETRICS)
                self.assertEqual({name for name, _ in text.samples}, {name for name, _ in openmetrics.samples})
                program.stop()
