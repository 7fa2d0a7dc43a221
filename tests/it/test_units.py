"""From a socket to its unit: by its cgroup, whatever its name."""
import socket
import unittest

from tcph import cgroups, expo, exporter, prom, scenes
from tcph.case import NetTest

STALE = '--stale.close-wait=200ms'
POD = 'b5f3f5a0_0d0c_4b5c_9d3e_3f1f6c1f2a11'
ID = '0123456789abcdef' * 4


class UnitsTest(NetTest):
    #: A cgroup below the test's own, and the owner's name on the page.
    LAYOUTS = (
        ('system.slice/load@35111.service', 'load@35111.service'),
        ('system.slice/system-load.slice/load@35111.service/sub', 'load@35111.service'),
        ('user.slice/user-1000.slice/session-3.scope', 'session-3.scope'),
        ('system.slice/web.socket', 'web.socket'),
        ('init.scope', ''),
        (f'kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD}.slice/cri-containerd-{ID}.scope',
         f'pod:{POD.replace("_", "-")}:{ID[:12]}'),
        (f'system.slice/docker-{ID}.scope', f'docker:{ID[:12]}'),
        (f'libpod_parent/libpod-{ID}', f'podman:{ID[:12]}'),
    )

    def setUp(self):
        super().setUp()
        if not cgroups.is_usable():
            self.skipTest('needs a cgroup2 hierarchy that it may write')
        self.tree = self.enterContext(cgroups.Tree())

    def test_layouts_of_systemd_and_containers(self):
        program = self.start_exporter(self.b, STALE)
        services = []
        for cgroup, unit in self.LAYOUTS:
            services.append((self.tree.leak(self.pair, cgroup), unit))
            services[-1][0].strand()
        program.wait_for(lambda page: page.sum('tcphealth_stale_connections') == len(services))
        for service, unit in services:
            with self.subTest(unit=unit):
                where = {'role': 'server', 'port': service.port, 'reason': 'close_wait', 'unit': unit}
                program.wait_value(1, 'tcphealth_stale_unit_connections', **where)
                page = program.wait_value(1, 'tcphealth_listener_info', port=service.port, unit=unit)
                self.assertEqual(len(page.series('tcphealth_listener_info', port=service.port)), 1)

    def test_owners_of_one_port_add_up(self):
        program = self.start_exporter(self.b, STALE)
        first = self.tree.leak(self.pair, 'system.slice/a.service')
        first.strand(3)
        self.strand_beside(first.port)
        where = {'role': 'server', 'port': first.port, 'reason': 'close_wait'}
        page = program.wait_value(3, 'tcphealth_stale_unit_connections', unit='a.service', **where)
        self.assertEqual(page.value('tcphealth_stale_unit_connections', unit='', **where), 1)
        self.assertEqual(page.value('tcphealth_stale_connections', **where), 4)

    def strand_beside(self, port):
        """A stuck connection on the same port by a listener of another address, from this process: in no unit."""
        listener = self.enterContext(self.b.socket())
        listener.bind(('127.0.0.1', port))
        listener.listen(1)
        client = self.enterContext(self.b.socket())
        client.connect(('127.0.0.1', port))
        server = self.enterContext(listener.accept()[0])
        client.close()
        self.assertEqual(server.recv(1), b'')
        return server

    def test_age_of_an_owner_grows(self):
        program = self.start_exporter(self.b, STALE)
        service = self.tree.leak(self.pair, 'system.slice/load@35111.service')
        service.strand()
        where = {'role': 'server', 'port': service.port, 'reason': 'close_wait', 'unit': 'load@35111.service'}
        program.wait_value(1, 'tcphealth_stale_unit_oldest_seconds', **where)
        program.wait_value(2, 'tcphealth_stale_unit_oldest_seconds', **where)

    def test_owner_leaves_the_page_with_its_last_stuck_connection(self):
        program = self.start_exporter(self.b, STALE)
        service = self.tree.leak(self.pair, 'system.slice/load@35111.service')
        server = self.strand_beside(service.port)
        name = 'tcphealth_stale_unit_connections'
        program.wait_for(lambda page: page.series(name, port=service.port), what='the owner')
        server.close()
        program.wait_for(lambda page: not page.series(name, port=service.port), what='no owner')

    def test_the_dead_keep_their_unit(self):
        """Two services that hold a reset connection each: no dump tells their cgroups any more."""
        program = self.start_exporter(self.b, '--stale.dead=200ms')
        services = {unit: self.tree.leak(self.pair, f'system.slice/{unit}') for unit in ('a.service', 'b.service')}
        for service in services.values():
            client = service.connect()
            program.wait_value(1, 'tcphealth_connections', role='server', port=service.port, state='established')
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
            client.close()
        for unit, service in services.items():
            where = {'role': 'server', 'port': service.port, 'reason': 'dead', 'unit': unit}
            page = program.wait_value(1, 'tcphealth_stale_unit_connections', **where)
            self.assertEqual(len(page.series('tcphealth_stale_unit_connections', port=service.port)), 1)
        told = {entry['port']: entry['unit'] for entry in program.log_entries() if entry.get('reason') == 'dead'}
        self.assertEqual(told, {str(service.port): unit for unit, service in services.items()})

    def test_hostile_names(self):
        program = self.start_exporter(self.b, STALE)
        long = 'w' * 240 + '.service'
        names = {b'quote".service': 'quote".service', b'back\\slash.service': 'back\\slash.service',
                 b'bad\xff\xc3(.service': 'bad\ufffd\ufffd(.service',
                 b'esc\x1b[31mred.service': 'esc\ufffd[31mred.service', b'brace}{,=.service': 'brace}{,=.service',
                 '<script>&amp;é.service'.encode(): '<script>&amp;é.service',
                 long.encode(): None}
        for name in names:
            self.tree.leak(self.pair, name).strand()
        program.wait_for(lambda page: page.sum('tcphealth_stale_unit_connections') == len(names)
                         and not page.series('tcphealth_stale_unit_connections', unit=''))
        for form in (expo.TEXT, expo.OPENMETRICS):
            page = program.page(form)
            units = {labels['unit'] for labels, _ in page.series('tcphealth_stale_unit_connections')}
            self.assertEqual({unit for unit in names.values() if unit} - units, set())
            cut = [unit for unit in units if unit.startswith('www')]
            self.assertEqual([(unit, len(unit.encode()) <= 128) for unit in cut], [(cut[0], True)])
        self.assertEqual(prom.check_metrics(program.request('/metrics').body), '')
        self.assert_page_is_clean(program)

    def assert_page_is_clean(self, program):
        html = program.request('/').body.decode()
        self.assertNotIn('<script>&', html)
        self.assertNotIn('\x1b', html)
        ports = program.request('/api/v1/ports').json()['ports']
        units = {owner['unit'] for port in ports for owner in port['stale_units']}
        self.assertIn('quote".service', units)
        self.assertIn('bad\ufffd\ufffd(.service', units)

    def test_log_names_the_unit_on_one_line(self):
        program = self.start_exporter(self.b, STALE)
        service = self.tree.leak(self.pair, b'esc\x1b"[31m\xff.service')
        program.wait_value(1, 'tcphealth_listener_info', port=service.port, unit='esc\ufffd"[31m\ufffd.service')
        service.strand()
        program.wait_for(lambda page: page.sum('tcphealth_stale_unit_connections') == 1)
        told = [entry for entry in program.log_entries() if entry.get('msg') == 'stale connection']
        self.assertEqual([(entry['reason'], entry['unit']) for entry in told],
                         [('close_wait', 'esc\ufffd"[31m\ufffd.service')])
        self.assertNotIn('\x1b', program.log_text())

    def test_without_the_cgroup_file_system_the_unit_is_unknown(self):
        program = self.start_exporter(self.b, STALE, '--path.cgroupfs=/nonexistent')
        service = self.tree.leak(self.pair, 'system.slice/load@35111.service')
        service.strand()
        page = program.wait_for(lambda page: page.sum('tcphealth_stale_unit_connections', port=service.port) == 1)
        self.assertEqual(page.value('tcphealth_stale_unit_connections', role='server', port=service.port,
                                    reason='close_wait', unit=''), 1)
        self.assertEqual(page.value('tcphealth_sample_success'), 1)


if __name__ == '__main__':
    unittest.main()
