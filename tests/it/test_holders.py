"""The processes that hold a socket, with holders=1 and on the terminal."""
import os
import subprocess
import time
import unittest

from tcph import cgroups, exporter, scenes
from tcph.case import NetTest
from tcph.poll import eventually
from test_program import NOBODY, Through

STALE = '--stale.close-wait=200ms'


class HoldersTest(NetTest):
    def setUp(self):
        super().setUp()
        if not cgroups.is_usable():
            self.skipTest('needs a cgroup2 hierarchy that it may write')
        self.tree = self.enterContext(cgroups.Tree())

    def ask(self, program, words):
        """The answer to a question; questions may be asked once a second."""
        def look():
            response = program.request('/api/v1/connections?' + words)
            self.assertIn(response.status, (200, 429, 503), response.body)
            return response.status == 200 and response.json()

        return eventually(look, timeout=exporter.patience(10), interval=0.1, what=program.log_tail)

    def leak(self, program, unit, *args):
        """A stuck connection of a service that the exporter already knows by its name."""
        service = self.tree.leak(self.pair, 'system.slice/' + unit, *args)
        program.wait_value(1, 'tcphealth_listener_info', port=service.port, unit=unit)
        service.strand()
        return service

    def ask_of(self, program, port):
        answer = self.ask(program, f'port={port}&role=server&holders=1')
        self.assertEqual(answer['matched'], len(answer['connections']))
        return answer

    def test_pid_comm_descriptor_and_start_time(self):
        program = self.start_exporter(self.b)
        service = self.leak(program, 'load@35111.service')
        answer = self.ask_of(program, service.port)
        self.assertEqual(answer['holders_note'], '')
        (row,) = answer['connections']
        (holder,) = row['holders']
        self.assertEqual((holder['pid'], holder['comm'], holder['unit']),
                         (service.pid, 'leak', 'load@35111.service'))
        self.assertEqual(row['unit'], 'load@35111.service')
        self.assertRegex(os.readlink(f'/proc/{service.pid}/fd/{holder["fd"]}'), r'^socket:\[\d+\]$')
        self.assertLess(abs(time.time() - holder['start_time_seconds']), 60)
        self.assertAlmostEqual(holder['start_time_seconds'], self.start_of(service.pid), delta=1.5)

    def test_by_unit(self):
        program = self.start_exporter(self.b)
        service = self.leak(program, 'load@35111.service')
        self.leak(program, 'web.service')
        answer = self.ask(program, 'role=server&unit=load@35111.service')
        self.assertEqual({(row['port'], row['unit']) for row in answer['connections']},
                         {(service.port, 'load@35111.service')})

    def start_of(self, pid):
        """ps knows it by its own arithmetic."""
        done = subprocess.run(['ps', '-o', 'etimes=', '-p', str(pid)], stdout=subprocess.PIPE, check=True)
        return time.time() - int(done.stdout)

    def test_only_who_asks_for_them_gets_holders(self):
        program = self.start_exporter(self.b)
        service = self.tree.leak(self.pair, 'a.service')
        service.strand()
        for words in ('', '&holders=0'):
            answer = self.ask(program, f'port={service.port}{words}')
            self.assertNotIn('holders_note', answer)
            self.assertNotIn('holders', answer['connections'][0])

    def test_socket_activation_shows_unit_and_holder(self):
        """The kernel says whose socket it was made for, /proc who has it."""
        program = self.start_exporter(self.b, STALE)
        cgroup = os.fsdecode(self.tree.make('system.slice/web.service'))
        service = self.leak(program, 'web.socket', '--activate', cgroup)
        (row,) = self.ask_of(program, service.port)['connections']
        self.assertEqual(row['unit'], 'web.socket')
        self.assertEqual([(holder['pid'], holder['unit']) for holder in row['holders']],
                         [(service.pid, 'web.service')])

    def test_inherited_descriptor_has_two_holders(self):
        program = self.start_exporter(self.b, STALE)
        service = self.tree.leak(self.pair, 'system.slice/web.service', '--inherit')
        service.strand()
        child = service.read_pid()
        (row,) = self.ask_of(program, service.port)['connections']
        self.assertEqual({holder['pid'] for holder in row['holders']}, {service.pid, child})
        self.assertEqual({holder['comm'] for holder in row['holders']}, {'leak'})

    def test_sockets_that_nobody_holds(self):
        program = self.start_exporter(self.b)
        scene = self.scene(scenes.last_ack)
        answer = self.ask_of(program, scene.port)
        self.assertEqual([row['holders'] for row in answer['connections']], [[]])
        self.assertEqual(answer['holders_note'], '')

    def test_unaccepted_are_held_by_who_holds_the_listener(self):
        program = self.start_exporter(self.b)
        scene = self.scene(scenes.unaccepted)
        program.wait_value(1, 'tcphealth_listen_queue_length', port=scene.port)
        answer = self.ask_of(program, scene.port)
        (row,) = answer['connections']
        self.assertEqual([holder['pid'] for holder in row['holders']], [os.getpid()])
        self.assertEqual(answer['holders_note'], '')
        done = exporter.run(self.b, '--list-stale', '--stale.unaccepted=0')
        self.assertRegex(done.stdout.decode().splitlines()[1], rf' unaccepted .*/{os.getpid()}$')

    def test_hostile_command_name(self):
        program = self.start_exporter(self.b)
        service = self.tree.leak(self.pair, 'a.service', '--comm', b'a"\\\x1b[1m\xff\n')
        service.strand()
        (row,) = self.ask_of(program, service.port)['connections']
        self.assertEqual(row['holders'][0]['comm'], 'a"\\\ufffd[1m\ufffd\ufffd')

    def test_nobody_is_told_what_it_may_not_see(self):
        program = self.start_exporter(Through(self.b, *NOBODY), STALE)
        service = self.tree.leak(self.pair, 'system.slice/load@35111.service')
        service.strand(2)
        program.wait_value(2, 'tcphealth_stale_unit_connections', role='server', port=service.port,
                           reason='close_wait', unit='load@35111.service')
        answer = self.ask_of(program, service.port)
        self.assertEqual([row['holders'] for row in answer['connections']], [[], []])
        self.assertEqual([row['unit'] for row in answer['connections']], ['load@35111.service'] * 2)
        self.assertIn('CAP_SYS_PTRACE', answer['holders_note'])

    def test_with_the_privilege_alone_nobody_sees_holders(self):
        keep = 'sys_ptrace,+dac_read_search'
        launcher = ('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', f'--inh-caps=-all,+{keep}',
                    f'--ambient-caps=-all,+{keep}', f'--bounding-set=-all,+{keep}', '--no-new-privs')
        program = self.start_exporter(Through(self.b, *launcher))
        service = self.tree.leak(self.pair, 'a.service')
        service.strand()
        answer = self.ask_of(program, service.port)
        self.assertEqual([holder['pid'] for row in answer['connections'] for holder in row['holders']], [service.pid])
        self.assertEqual(answer['holders_note'], '')

    def test_another_pid_namespace_is_told(self):
        """As in a container that shares the host's network and not its processes."""
        launcher = ('unshare', '--pid', '--fork', '--kill-child', '--mount-proc')
        service = self.tree.leak(self.pair, 'a.service')
        service.strand()
        done = exporter.run(Through(self.b, *launcher), '--list-stale', '--stale.close-wait=0')
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(b'in another PID namespace', done.stderr)
        self.assertIn(b'a.service', done.stdout)


if __name__ == '__main__':
    unittest.main()
