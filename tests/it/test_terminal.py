"""What the program prints and then exits: --once and --list-stale, to terminals and pipes."""
import contextlib
import fcntl
import json
import os
import pty
import re
import socket
import struct
import subprocess
import tempfile
import termios
import time
import unittest

from tcph import cgroups, expo, exporter, https, scenes
from tcph.case import NetTest
from tcph.poll import eventually
from test_program import NOBODY, Through

NOW = '--stale.close-wait=0'
HEAD = ['PORT', 'ROLE', 'REASON', 'FOR', 'PEER', 'UNIT', 'HELD', 'BY']


class TerminalTest(NetTest):
    def setUp(self):
        super().setUp()
        if not cgroups.is_usable():
            self.skipTest('needs a cgroup2 hierarchy that it may write')
        self.tree = self.enterContext(cgroups.Tree())

    def on_terminal(self, columns, *args):
        """(status, lines) of the program with a terminal of so many columns as its standard output."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
        process = self.b.popen(exporter.PROGRAM, *args, stdin=slave, stdout=slave, stderr=subprocess.PIPE,
                               env={**exporter.environment(), 'TERM': 'xterm-256color'})
        os.close(slave)
        told = b''
        with contextlib.suppress(OSError):  # the end of a terminal is an error
            while data := os.read(master, 65536):
                told += data
        os.close(master)
        errors = process.communicate(timeout=exporter.patience(20))[1]
        self.assertNotIn(b'runtime error', errors)
        return process.returncode, told.decode().replace('\r\n', '\n').splitlines()

    def assert_only_dead_unknown(self, done, why='Connection refused'):
        """No exporter runs here that would tell them."""
        self.assertRegex(done.stderr.decode(), rf'^tcphealth_exporter: connections that were reset or timed out are not known, .*: {why}\n$')

    def stranded(self):
        """Connections with all that makes a line long."""
        services = [self.tree.leak(self.pair, 'system.slice/load@35111.service'),
                    self.tree.leak(self.pair, 'a-very-long-name-' * 6 + '.service', '--comm', 'exactly15chars_'),
                    self.tree.leak(self.pair, 'system.slice/' + 'grüße-ελλάς-' * 6 + '.service')]
        for service in services:
            service.strand(2)
        self.scene(scenes.close_wait, family=6)
        return services

    def test_nothing_stuck(self):
        done = exporter.run(self.b, '--list-stale')
        self.assertEqual((done.returncode, done.stdout), (0, b''))
        self.assert_only_dead_unknown(done)

    def test_table_into_a_pipe(self):
        service, *others = self.stranded()
        done = exporter.run(self.b, '--list-stale', NOW)
        self.assertEqual(done.returncode, 1)
        self.assert_only_dead_unknown(done)
        head, *rows = done.stdout.decode().splitlines()
        self.assertEqual(head.split(), HEAD)
        self.assertEqual(len(rows), 7)
        self.assertNotIn(b'\x1b', done.stdout)
        self.assertNotIn(b'\r', done.stdout)
        for row in (row for row in rows if row.startswith(f'{service.port} ')):
            words = row.split()
            self.assertEqual((words[1], words[2], words[5], words[6]),
                             ('server', 'close_wait', 'load@35111.service', f'leak/{service.pid}'))
            self.assertRegex(words[3], r'^\d+s$')
            self.assertRegex(words[4], rf'^{re.escape(self.a.address[4])}:\d+$')
        for other in others:
            self.assertIn(f'/{other.pid}', done.stdout.decode())
        self.assertNotIn('~', done.stdout.decode())

    def test_widths_fit_the_terminal(self):
        services = self.stranded()
        for columns in (80, 132, 200):
            with self.subTest(columns=columns):
                status, lines = self.on_terminal(columns, '--list-stale', NOW)
                self.assertEqual((status, len(lines), lines[0].split()), (1, 8, HEAD))
                self.assertLessEqual(max(len(line) for line in lines), columns)
                self.assertNotIn('\x1b', ''.join(lines))
                for service in services:
                    self.assertEqual(sum(line.startswith(f'{service.port} ') for line in lines), 2)
                if columns == 200:
                    text = '\n'.join(lines)
                    self.assertIn(f'leak/{services[0].pid}', text)
                    self.assertIn('load@35111.service', text)
                    self.assertIn('exactly15chars_/', text)
                    self.assertIn(f'[{self.a.address[6]}]:', text)

    def test_columns_stand_below_each_other(self):
        self.stranded()
        for columns in (80, 200):
            with self.subTest(columns=columns):
                _, (head, *rows) = self.on_terminal(columns, '--list-stale', NOW)
                for name in ('ROLE', 'REASON', 'FOR', 'PEER', 'UNIT', 'HELD BY'):
                    at = head.index(name)
                    self.assertEqual({(row[at - 1], row[at] != ' ') for row in rows}, {(' ', True)}, name)

    def test_json(self):
        service = self.tree.leak(self.pair, 'system.slice/load@35111.service')
        done = exporter.run(self.b, '--list-stale', '--format=json', NOW)
        self.assertEqual((done.returncode, json.loads(done.stdout)['connections']), (0, []))
        service.strand()
        done = exporter.run(self.b, '--list-stale', '--format=json', NOW)
        self.assertEqual(done.returncode, 1)
        self.assert_only_dead_unknown(done)
        (row,) = json.loads(done.stdout)['connections']
        self.assertEqual((row['reason'], row['unit'], [holder['pid'] for holder in row['holders']]),
                         ('close_wait', 'load@35111.service', [service.pid]))
        self.assertGreaterEqual(row['stale_seconds'], 0)

    def dead(self):
        """A connection that was reset, and its unit; the exporter that runs at b tells it once it is stale."""
        service = self.tree.leak(self.pair, 'system.slice/load@35111.service')
        self.program.wait_value(1, 'tcphealth_listener_info', port=service.port, unit='load@35111.service')
        client = service.connect()
        self.program.wait_value(1, 'tcphealth_connections', role='server', port=service.port, state='established')
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
        client.close()
        self.program.wait_value(1, 'tcphealth_stale_unit_connections', port=service.port, reason='dead',
                                role='server', unit='load@35111.service')
        return service

    def ask_the_exporter(self, *flags):
        """Until it answers within the second that the list waits for it, which a busy machine may take away."""
        def told():
            done = exporter.run(self.b, '--list-stale', *flags)
            return done if done.stderr == b'' else None
        return eventually(told, timeout=exporter.patience(10), what='a list without a complaint')

    def test_running_exporter_tells_the_dead(self):
        self.program = self.start_exporter(self.b, '--stale.dead=200ms')
        service = self.dead()
        done = self.ask_the_exporter()
        self.assertEqual(done.returncode, 1)
        head, row = done.stdout.decode().splitlines()
        self.assertEqual(head.split(), HEAD)
        self.assertRegex(row, rf'^{service.port} +server +dead +\d+s +1 connection +load@35111.service +-$')
        done = self.ask_the_exporter('--format=json')
        (row,) = json.loads(done.stdout)['dead']
        self.assertEqual((row['role'], row['port'], row['unit'], row['connections']),
                         ('server', service.port, 'load@35111.service', 1))

    def test_running_exporter_is_asked_by_tls_and_may_want_a_password(self):
        site = https.Site(self.enterContext(tempfile.TemporaryDirectory()))
        site.write_tls()
        config = f'--web.config.file={site.path}'
        program = self.start_exporter(self.b, config, ready=False)
        eventually(site.wait(program).works, what='an answer by TLS')
        done = self.ask_the_exporter(config)
        self.assertEqual((done.returncode, done.stdout), (0, b''))
        done = exporter.run(self.b, '--list-stale')
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr.count(b'\n'), 1)
        program.stop(within=20)
        site.write_tls(rest='basic_auth_users:\n  alice: "$2y$04$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"\n')
        program = self.start_exporter(self.b, config, ready=False)
        eventually(lambda: b'Permission denied' in exporter.run(self.b, '--list-stale', config).stderr,
                   what='a refusal')

    def test_silent_exporter_is_not_waited_for(self):
        listener = self.b.socket(4)
        listener.bind(('127.0.0.1', 10793))
        listener.listen()
        self.addCleanup(listener.close)
        begun = time.monotonic()
        done = exporter.run(self.b, '--list-stale')
        self.assertLess(time.monotonic() - begun, exporter.patience(4))
        self.assertEqual(done.returncode, 0)
        self.assert_only_dead_unknown(done, 'Connection timed out')

    def test_longest_first(self):
        def list_them():
            return json.loads(exporter.run(self.b, '--list-stale', '--format=json', NOW).stdout)['connections']

        first = self.scene(scenes.close_wait)
        eventually(lambda: list_them()[0]['stale_seconds'] >= 0.2, what='one that is older than the kernel\'s clock is coarse')
        self.scene(scenes.close_wait)
        rows = list_them()
        self.assertEqual(rows[0]['port'], first.port)
        self.assertGreaterEqual(rows[0]['stale_seconds'], rows[1]['stale_seconds'])

    def test_default_thresholds_hold(self):
        """What is stuck for a moment is not listed."""
        self.scene(scenes.close_wait)
        self.assertEqual(exporter.run(self.b, '--list-stale').returncode, 0)

    def test_nobody_gets_the_table_and_is_told_what_is_missing(self):
        service = self.tree.leak(self.pair, 'system.slice/load@35111.service')
        service.strand()
        done = exporter.run(Through(self.b, *NOBODY), '--list-stale', NOW)
        self.assertEqual(done.returncode, 1)
        _, row = done.stdout.decode().splitlines()
        self.assertEqual(row.split()[5:], ['load@35111.service', '-'])
        self.assertIn(b'CAP_SYS_PTRACE', done.stderr)
        self.assertEqual(done.stderr.count(b'\n'), 2)

    def test_other_namespaces_are_listed_if_they_are_named(self):
        others = f'--collector.netns=tcph-{os.getpid()}-*'
        service = self.tree.leak(self.pair, 'system.slice/load@35111.service')
        service.strand()
        self.assertEqual(exporter.run(self.a, '--list-stale', NOW).returncode, 0)
        done = exporter.run(self.a, '--list-stale', others, NOW)
        self.assertEqual(done.returncode, 1)
        self.assert_only_dead_unknown(done)
        head, row = done.stdout.decode().splitlines()
        self.assertEqual(head.split(), ['NETNS', *HEAD])
        self.assertEqual(row.split()[:4], [self.b.name, str(service.port), 'server', 'close_wait'])
        self.assertEqual(row.split()[6:], ['load@35111.service', f'leak/{service.pid}'])
        done = exporter.run(self.a, '--list-stale', '--format=json', others, NOW)
        (row,) = json.loads(done.stdout)['connections']
        self.assertEqual((row['netns'], row['port']), (self.b.name, service.port))

    def test_what_could_not_be_read_is_no_all_clear(self):
        """As a user of its own: a program of nobody, which another test runs, could be read."""
        stranger = Through(self.a, NOBODY[0], f'--reuid={100000 + os.getpid()}', *NOBODY[2:])
        done = exporter.run(stranger, '--list-stale', f'--collector.netns=tcph-{os.getpid()}-*')
        self.assertEqual((done.returncode, done.stdout), (2, b''))
        self.assertIn(b'CAP_SYS_ADMIN', done.stderr)

    def test_nothing_found_in_proc_is_no_all_clear(self):
        done = exporter.run(self.b, '--list-stale', '--collector.source=procfs')
        self.assertEqual((done.returncode, done.stdout), (2, b''))
        self.assertIn(b'read from /proc', done.stderr)

    def test_once_shows_all_namespaces(self):
        names = [f'tcpht-{os.getpid()}-{number}' for number in range(3)]
        for name in names:
            subprocess.run(['ip', 'netns', 'add', name], check=True, timeout=20)
            self.addCleanup(subprocess.run, ['ip', 'netns', 'del', name], check=True, timeout=20)
        done = exporter.run(self.b, '--once', f'--collector.netns=tcpht-{os.getpid()}-*')
        self.assertEqual(done.returncode, 0)
        page = expo.check(done.stdout, expo.TEXT)
        shown = page.series('tcphealth_netns_last_sample_timestamp_seconds')
        self.assertEqual(sorted(labels['netns'] for labels, _ in shown), names)

    def test_failure_is_told_apart_from_none_and_some(self):
        done = exporter.run(self.b, '--list-stale', '--collector.source=procfs', '--path.procfs=/nonexistent')
        self.assertEqual((done.returncode, done.stdout), (2, b''))
        self.assertIn(b'No such file or directory', done.stderr)

    def test_once_is_the_same_on_a_terminal(self):
        scene = self.scene(scenes.close_wait)
        status, lines = self.on_terminal(80, '--once')
        self.assertEqual(status, 0)
        page = expo.check(('\n'.join(lines) + '\n').encode(), expo.TEXT)
        self.assertEqual(page.value('tcphealth_connections', role='server', port=scene.port, state='close_wait'), 1)


if __name__ == '__main__':
    unittest.main()
