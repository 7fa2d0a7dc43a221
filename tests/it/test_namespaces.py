"""Other network namespaces: named, unnamed, containers'; how they come and go; what is missing without privileges."""
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import unittest

from tcph import cgroups, exporter, netns, scenes
from tcph.case import NetTest
from tcph.poll import eventually
from test_program import NOBODY, Through

SCAN = 20       # seconds: namespaces are looked for every 5 s
MANY = 66       # more than are sampled
MOST = 64
ID = 'fedcba9876543210' * 4

NETLINK_SOCK_DIAG = 4
LAST_SAMPLE = 'tcphealth_netns_last_sample_timestamp_seconds'
OTHERS = 'tcphealth_other_namespaces'


def names_of(page):
    """The namespaces that the page tells of."""
    return {labels['netns'] for labels, _ in page.series(LAST_SAMPLE)}


class NamespacesTest(NetTest):
    def test_own_alone_by_default(self):
        program = self.start_exporter(self.b)
        self.scene(scenes.close_wait)
        page = program.fresh_page()
        self.assertEqual([labels for _, labels in page.samples if 'netns' in dict(labels)], [])
        self.assertEqual(page.series(OTHERS), [])

    def test_named_namespace(self):
        program = self.start_exporter(self.a, f'--collector.netns=tcph-{os.getpid()}-*', '--stale.close-wait=300ms')
        scene = self.scene(scenes.close_wait)
        there = {'netns': self.b.name, 'role': 'server', 'port': scene.port}
        program.wait_value(1, 'tcphealth_connections', state='close_wait', timeout=SCAN, **there)
        page = program.wait_value(1, 'tcphealth_stale_connections', reason='close_wait', **there)
        self.assertEqual(page.value('tcphealth_connections', role='client', port=scene.port, state='fin_wait2'), 1)
        self.assertEqual(names_of(page), {self.b.name})
        for name in ('tcphealth_kernel_sent_segments_total', 'tcphealth_sysctl_fin_timeout_seconds'):
            self.assertIsNotNone(page.value(name, netns=self.b.name), name)
        self.assertEqual({labels['status']: value for labels, value in page.series(OTHERS)},
                         {'sampled': 1, 'denied': 0, 'over_limit': 0})
        self.assertIn(f'in {self.b.name}', program.request('/').body.decode())
        told = [entry for entry in program.log_entries() if entry.get('reason') == 'close_wait']
        self.assertEqual([(entry['netns'], entry['port']) for entry in told], [(self.b.name, str(scene.port))])

    def test_forged_messages_are_counted_there_as_well(self):
        program = self.start_exporter(self.a, f'--collector.netns={self.b.name}')
        program.wait_value(1, OTHERS, status='sampled', timeout=SCAN)
        with self.b.entered():
            sender = self.enterContext(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG))

        def is_counted():
            for _ in range(20000):  # its socket there lives for the time of a sample, and has the program's number
                with contextlib.suppress(ConnectionRefusedError):
                    sender.sendto(bytes(20), (program.process.pid, 0))
            return program.page().value('tcphealth_forged_messages_total')

        eventually(is_counted, timeout=exporter.patience(20))

    def test_pattern_that_fits_none(self):
        program = self.start_exporter(self.b, '--collector.netns=no-such-*')
        page = program.fresh_page()
        self.assertEqual((names_of(page), page.value(OTHERS, status='sampled')), (set(), 0))

    def test_come_and_go_without_a_trace(self):
        """More than are sampled, then others of the same names at once, then none: nothing of them stays."""
        program = self.start_exporter(self.b, f'--collector.netns=tcphm-{os.getpid()}-*')
        self.addCleanup(self.remove_many)
        before = self.descriptors(program)
        self.make_many()
        self.wait_for_many(program)
        full = self.memory_kb(program)
        self.remove_many()
        self.make_many()
        page = self.wait_for_many(program, inodes_changed=True)
        self.assertEqual([name for name in names_of(page) if '#' in name], [])
        self.assertEqual(page.value('tcphealth_sample_success'), 1)
        self.remove_many()
        program.wait_for(lambda page: not names_of(page), timeout=SCAN, what=lambda page: names_of(page))
        self.assertEqual(program.page().value(OTHERS, status='over_limit'), 0)
        eventually(lambda: self.descriptors(program) == before, what=lambda: self.descriptors(program) - before)
        if not exporter.is_sanitized():
            self.assertLess(self.memory_kb(program), full * 1.2)

    def many(self, command):
        lines = ''.join(f'netns {command} tcphm-{os.getpid()}-{number}\n' for number in range(MANY))
        subprocess.run(['ip', '-force', '-batch', '-'], input=lines, text=True, stderr=subprocess.DEVNULL, timeout=60,
                       check=False)

    def make_many(self):
        self.many('add')

    def remove_many(self):
        self.many('del')

    def wait_for_many(self, program, inodes_changed=False):
        begun = program.page().value('tcphealth_last_sample_timestamp_seconds', tier='full') if inodes_changed else 0

        def are_there(page):
            seen = [value for _, value in page.series(LAST_SAMPLE)]
            return len(seen) == MOST and min(seen) > begun and page.value(OTHERS, status='over_limit') == MANY - MOST

        return program.wait_for(are_there, timeout=60, what=lambda page: (len(names_of(page)), page.series(OTHERS)))

    @staticmethod
    def descriptors(program):
        """What the exporter has open, without connections to its own clients."""
        directory = f'/proc/{program.process.pid}/fd'
        found = []
        for fd in os.listdir(directory):
            with contextlib.suppress(OSError):
                found.append(os.readlink(f'{directory}/{fd}'))
        return {link for link in found if not link.startswith('socket:')}

    @staticmethod
    def memory_kb(program):
        with open(f'/proc/{program.process.pid}/status', encoding='ascii', errors='replace') as file:
            return int(next(line.split()[1] for line in file if line.startswith('VmRSS:')))


class ContainersTest(NetTest):
    def setUp(self):
        super().setUp()
        if not cgroups.is_usable():
            self.skipTest('needs a cgroup2 hierarchy that it may write')
        self.tree = self.enterContext(cgroups.Tree())

    def unnamed(self, cgroup):
        """A process in a network namespace of its own that has no name, listening on port 7000; in that cgroup."""
        code = ('import socket, signal; s = socket.create_server(("0.0.0.0", 7000)); print(flush=True); signal.pause()')
        process = self.tree.popen(self.b, self.tree.make(cgroup), 'unshare', '-n', '/usr/bin/python3', '-ISc', code,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.tree.keep(process.stdout).readline()
        return process

    def test_unnamed_ones_are_called_by_unit_and_told_apart(self):
        program = self.start_exporter(self.b, '--collector.netns=podman:*')
        first, _ = self.unnamed(f'libpod_parent/libpod-{ID}'), self.unnamed(f'libpod_parent/libpod-{ID}')
        self.unnamed('system.slice/other.service')
        names = {f'podman:{ID[:12]}', f'podman:{ID[:12]}#2'}
        page = program.wait_for(lambda page: names_of(page) == names, timeout=SCAN, what=lambda page: names_of(page))
        for name in names:
            self.assertEqual(page.value('tcphealth_listeners', netns=name, port=7000), 1)
            self.assertIsNotNone(page.series('tcphealth_listener_info', netns=name, port=7000,
                                             unit=f'podman:{ID[:12]}'))
        netns.kill(first)
        program.wait_for(lambda page: len(names_of(page)) == 1, timeout=SCAN, what='one of two')

    def test_without_the_right_to_enter_proc_is_read(self):
        """CAP_SYS_PTRACE tells the namespaces of processes; a named one without any process stays unknown."""
        self.unnamed(f'libpod_parent/libpod-{ID}')
        keep = 'sys_ptrace,+dac_read_search'
        launcher = ('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', f'--inh-caps=-all,+{keep}',
                    f'--ambient-caps=-all,+{keep}', f'--bounding-set=-all,+{keep}', '--no-new-privs')
        program = self.start_exporter(Through(self.b, *launcher), '--collector.netns=[pt]*', '--ports.max=1000')
        where = {'netns': f'podman:{ID[:12]}', 'port': 7000}
        page = program.wait_for(lambda page: page.value('tcphealth_listeners', **where) == 1
                                and page.value(OTHERS, status='denied'), timeout=SCAN)
        self.assertIsNone(page.value('tcphealth_listen_queue_limit', **where))
        self.assertIsNone(page.value('tcphealth_sent_bytes_total', role='server', **where))

    def test_nobody_is_told_what_is_missing(self):
        """By a user of its own: processes of nobody, which other tests run, would show it the namespaces they are in."""
        stranger = (NOBODY[0], f'--reuid={100000 + os.getpid()}', *NOBODY[2:])
        program = self.start_exporter(Through(self.b, *stranger), '--collector.netns=all')
        scene = self.scene(scenes.close_wait)
        page = program.wait_value(1, 'tcphealth_connections', role='server', port=scene.port, state='close_wait')
        page = program.wait_for(lambda page: page.value(OTHERS, status='denied'), timeout=SCAN)
        self.assertGreater(page.value('tcphealth_unreadable_processes'), 0)
        self.assertEqual((page.value(OTHERS, status='sampled'), page.value('tcphealth_sample_success')), (0, 1))


class PodmanTest(NetTest):
    """A container of a real engine."""

    def setUp(self):
        super().setUp()
        missing = [name for name in ('podman', 'runc', 'busybox') if not shutil.which(name)]
        if missing or not cgroups.is_usable():
            self.skipTest(f'needs {", ".join(missing) or "a cgroup2 hierarchy that it may write"}')
        self.tree = self.enterContext(cgroups.Tree(ending=b''))
        self.directory = self.enterContext(tempfile.TemporaryDirectory(prefix='tcph-podman-'))
        self.addCleanup(self.remove_legacy_cgroups)
        self.addCleanup(self.podman, 'rm', '--all', '--force', '--time=0')

    def podman(self, *args):
        """Its own storage, no daemon, no systemd; what it runs is below the tree's cgroup."""
        where = self.directory
        done = subprocess.run(['podman', '--root', f'{where}/root', '--runroot', f'{where}/run', '--tmpdir',
                               f'{where}/tmp', '--runtime', 'runc', '--cgroup-manager', 'cgroupfs', '--storage-driver',
                               'vfs', '--events-backend', 'none', *args], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def import_image(self):
        root = os.path.join(self.directory, 'image')
        os.makedirs(os.path.join(root, 'bin'))
        shutil.copy(shutil.which('busybox'), os.path.join(root, 'bin'))
        tar = os.path.join(self.directory, 'image.tar')
        subprocess.run(['tar', '-C', root, '-cf', tar, '.'], check=True)
        self.podman('import', '--quiet', tar, 'localhost/tcph')

    def remove_legacy_cgroups(self):
        """On a host with both hierarchies the engine has made the same directories in the old ones."""
        name = self.tree.name
        for controller in os.listdir('/sys/fs/cgroup'):
            legacy = os.path.join('/sys/fs/cgroup', controller, name)
            if os.path.isdir(legacy) and os.fsencode(legacy) != self.tree.path:
                for directory, _, _ in os.walk(legacy, topdown=False):
                    with contextlib.suppress(OSError):
                        os.rmdir(directory)

    def test_container_is_seen_and_gone_after_its_end(self):
        self.import_image()
        program = self.start_exporter(self.b, '--collector.netns=all', '--ports.max=1000')
        # Without CAP_SYS_RESOURCE the engine may not raise what it inherited.
        container = self.podman('run', '--detach', '--network=none', '--ulimit=nofile=1024:1024',
                                '--ulimit=nproc=1024:1024', '--pull=never', f'--cgroup-parent=/{self.tree.name}',
                                'localhost/tcph', '/bin/busybox', 'nc', '-l', '-p', '7000')
        name = f'podman:{container[:12]}'
        page = program.wait_value(1, 'tcphealth_listeners', netns=name, port=7000, timeout=SCAN)
        self.assertIn(name, names_of(page))
        self.assertIn(self.a.name, names_of(page))
        self.podman('kill', container)
        page = program.wait_for(lambda page: name not in names_of(page), timeout=SCAN, what='no container')
        self.assertEqual([labels for _, labels in page.samples if dict(labels).get('netns') == name], [])


if __name__ == '__main__':
    unittest.main()
