"""From a socket to its unit: by its cgroup, whatever its name."""
import re
import socket
import unittest

from tcph import cgroups, expo, exporter, prom, scenes
from tcph.case import NetTest
from tcph.poll import eventually

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

    def leak(self, program, cgroup, unit):
        """A stuck connection of a service there, which the metrics tell as that unit's."""
        service = self.tree.leak(self.pair, cgroup)
        program.wait_for(lambda page: self.units_of('tcphealth_listener_info', page, service) == [unit],
                         what=lambda page: self.units_of('tcphealth_listener_info', page, service))
        service.strand()
        page = program.wait_value(1, 'tcphealth_stale_connections', role='server', port=service.port, reason='close_wait')
        self.assertEqual(self.units_of('tcphealth_stale_unit_connections', page, service), [unit])
        return service

    @staticmethod
    def units_of(metric, page, service):
        return [labels['unit'] for labels, _ in page.series(metric, port=service.port)]

    def connections(self, program, service):
        """What the drill-down tells of its connections, and of their holders."""
        def look():
            response = program.request(f'/api/v1/connections?port={service.port}&role=server&holders=1')
            return response.status == 200 and response.json()['connections']

        return eventually(look, timeout=exporter.patience(10), interval=0.1, what=program.log_tail)

    def assert_no_restart_but_of(self, program, *units):
        """The page proposes no other, and no line of the log names one."""
        html = program.request('/').body.decode()
        self.assertEqual(set(re.findall('systemctl restart ([^<]+)', html)), set(units))

    def test_user_with_a_cgroup_cannot_name_units(self):
        """What is below user@1000.service is told as claimed, and where single connections are told only."""
        program = self.start_exporter(self.b, STALE)
        user = 'user.slice/user-1000.slice/user@1000.service'
        self.tree.delegate(user, 1000, 1000)
        for claim in ('postgresql.service', 'app.slice/foo.service', f'system.slice/docker-{ID}.scope', f'docker/{ID}',
                      f'kubepods.slice/kubepods-pod{POD}.slice/cri-containerd-{ID}.scope',
                      'machine.slice/machine-web1.scope/payload/system.slice/nginx.service'):
            with self.subTest(claim=claim):
                self.tree.make_as(1000, f'{user}/{claim}')
                (row,) = self.connections(program, self.leak(program, f'{user}/{claim}', 'user@1000.service'))
                for told in (row, *row['holders']):
                    self.assertEqual((told['unit'], told['unit_claimed']), ('user@1000.service', claim))
        self.assert_no_restart_but_of(program)
        for path in ('/metrics', '/', '/api/v1/ports'):
            text = program.request(path).body.decode()
            for lie in ('postgresql', 'nginx', ID[:12], POD[:8], 'machine:'):
                self.assertNotIn(lie, text)
        self.assertEqual({entry['unit'] for entry in program.log_entries() if 'unit' in entry}, {'user@1000.service'})

    def test_what_runs_inside_a_machine_is_not_the_hosts(self):
        program = self.start_exporter(self.b, STALE)
        self.tree.delegate('machine.slice/machine-web1.scope', 100000, 100000)
        self.tree.delegate('lxc.payload.web2', 0, 100000, 0o775)
        inside = 'system.slice/nginx.service'
        for cgroup, unit in (('machine.slice/machine-web1.scope/payload/' + inside, 'machine:web1/nginx.service'),
                             ('lxc.payload.web2/' + inside, 'machine:web2/nginx.service'),
                             (f'system.slice/docker-{ID}.scope/{inside}', f'docker:{ID[:12]}/nginx.service'),
                             ('boxes/web3/' + inside, self.tree.name)):
            with self.subTest(unit=unit):
                (row,) = self.connections(program, self.leak(program, cgroup, unit))
                self.assertEqual(row['unit'], unit)
                self.assertEqual([holder['unit'] for holder in row['holders']], [unit])
        self.assert_no_restart_but_of(program)
        self.leak(program, inside, 'nginx.service')
        self.assert_no_restart_but_of(program, 'nginx.service')

    def test_services_for_one_connection_are_one_unit(self):
        """Accept=yes: no address of a client is in a label; the drill-down tells which of them to stop."""
        program = self.start_exporter(self.b, STALE)
        names = ['check@4-10.0.0.1:7-10.0.0.2:9.service', 'check@12-fe80::1:7-fe80::2:9.service']
        services = [self.leak(program, f'system.slice/system-check.slice/{name}', 'check@.service') for name in names]
        for service, name in zip(services, names):
            (row,) = self.connections(program, service)
            for told in (row, *row['holders']):
                self.assertEqual((told['unit'], told['unit_instance']), ('check@.service', name))
        self.assertNotIn('10.0.0.2:9', program.request('/metrics').body.decode())
        self.assert_no_restart_but_of(program)

    def test_machine_has_a_bounded_number_of_names(self):
        """Whoever has root inside could make a series for each name that he thinks of."""
        program = self.start_exporter(self.b, STALE)
        self.tree.delegate('lxc.payload.web1', 100000, 100000)
        names = [f'lxc.payload.web1/system.slice/{n}.service' for n in range(40)]
        port = self.pair.next_port()
        self.tree.listen(self.b, names, port)
        program.wait_for(lambda page: page.series('tcphealth_listener_info', port=port, unit='machine:web1'))
        page = program.page()
        units = [labels['unit'] for labels, _ in page.series('tcphealth_listener_info', port=port)]
        self.assertEqual(len(units), 33)
        self.assertEqual({unit.split('/')[0] for unit in units}, {'machine:web1'})

    def test_engine_is_not_blamed_for_its_containers(self):
        """With the cgroupfs driver on a hybrid host, the container is known by cgroup1 alone."""
        program = self.start_exporter(self.b, STALE)
        hybrid = self.tree.mount_point.endswith(b'/unified')
        service = self.leak(program, 'system.slice/docker.service', '' if hybrid else 'docker.service')
        self.assert_no_restart_but_of(program)
        if hybrid and cgroups.legacy_mount_point():
            self.enterContext(cgroups.moved_in_legacy(service.pid, f'docker/{ID}'))
            (holder,) = self.connections(program, service)[0]['holders']
            self.assertEqual(holder['unit'], f'docker:{ID[:12]}')

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
        for unit, service in services.items():
            program.wait_value(1, 'tcphealth_listener_info', port=service.port, unit=unit)
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
        told = [entry for entry in program.log_entries() if entry.get('msg') == 'stale connections']
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
