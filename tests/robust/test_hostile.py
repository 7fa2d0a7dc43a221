"""More ports than a page can hold, and names with quotes, newlines and broken UTF-8: a real Prometheus keeps scraping."""
import contextlib
import os
import socket
import subprocess
import time

from robust import RobustTest, resident_bytes, scaled
from tcph import cgroups, expo, exporter, netns, prom, scenes
from tcph.exporter import patience

#: Ports that the exporter's host connects to, and ports that it listens on.
REMOTE, LOCAL = scaled((10000, 5000), (64000, 36000))
SAMPLE_S = 0.15  # between two samples, and some more
PORTS_MAX = 256
PAGE_MAX = 2 << 20  # some 30 series for each of 2 * 258 pairs
MEMORY_MAX = 128 << 20
#: Of cgroups: the kernel itself refuses a newline there. Processes have the same names, with one.
NAMES = (b'quote".service', b'back\\slash.service', b'bad\xff\xc3(utf8.service', b'tab\t{x="1"} 1.service',
         b'\xed\xa0\x80\xf4\x90\x80\x80.scope', b'a' * 200 + b'.service', b'# HELP x y # TYPE x counter.service',
         '\u202eesrever\u2028.service'.encode(), '\u061c\u200f\u2066new\u009b2J.service'.encode())
#: Nobody sees them as what they are.
UNSEEN = '[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]'


class HostileTest(RobustTest):
    def setUp(self):
        super().setUp()
        self.make_truth()

    def assert_scraped(self):
        prometheus = self.enterContext(prom.Prometheus(self.b, ['127.0.0.1:10793']))
        prometheus.wait_for('tcphealth_sample_success', lambda found: [value for _, value in found] == [1])
        return prometheus

    def test_ports(self):
        """The peer answers on all its ports: a packet filter leads them to one listener."""
        self.program = self.start_exporter(self.b, f'--ports.max={PORTS_MAX}')
        prometheus = self.assert_scraped()
        self.connect_everywhere()
        self.listen_everywhere()
        self.assert_recovers(timeout=60)
        body = self.program.request('/metrics').body
        page = expo.check(body, expo.TEXT)
        self.assertLess(len(body), PAGE_MAX)
        for role in ('server', 'client'):
            ports = {labels['port'] for labels, _ in page.series('tcphealth_connections') if labels['role'] == role}
            self.assertLessEqual(len(ports), PORTS_MAX + 2)
        self.assertLess(resident_bytes(self.program.process.pid), MEMORY_MAX)
        self.assert_up(prometheus)

    def assert_up(self, prometheus):
        """Over the whole time."""
        prometheus.wait_for('count_over_time(up[10m])', lambda found: found[0][1] >= 3)
        self.assertEqual(prometheus.query('min_over_time(up[10m])')[0][1], 1)

    def connect_everywhere(self):
        with self.a.socket() as listener:
            listener.bind((self.a.address[4], 0))
            listener.listen(4096)
            port = listener.getsockname()[1]
            self.a.run('nft', '-f', '-', stdin=f'''
                add table ip everywhere
                add chain ip everywhere prerouting {{ type nat hook prerouting priority -100; }}
                add rule ip everywhere prerouting tcp dport 1-65535 redirect to :{port}''')
            with self.b.entered():
                for first in range(1000, 1000 + REMOTE, 500):
                    self.connect_some(listener, range(first, first + 500))
            self.a.run('nft', 'delete', 'table', 'ip', 'everywhere')

    def connect_some(self, listener, ports):
        """They are open for a sample or two: as many as the exporter manages, which is the point."""
        with contextlib.ExitStack() as stack:
            for port in ports:
                client = stack.enter_context(socket.socket())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
                client.settimeout(5)
                client.connect((self.a.address[4], port))
                stack.enter_context(listener.accept()[0])
            time.sleep(SAMPLE_S)

    def listen_everywhere(self):
        for first in range(2000, 2000 + LOCAL, 500):
            with contextlib.ExitStack() as stack, self.b.entered():
                for port in range(first, first + 500):
                    listener = stack.enter_context(socket.socket())
                    with contextlib.suppress(OSError):
                        listener.bind((self.b.address[4], port))
                        listener.listen(1)
                time.sleep(SAMPLE_S)

    def test_names(self):
        """Units, processes and namespaces."""
        if not cgroups.is_usable():
            self.skipTest('needs a writable cgroup2')
        other = self.enterContext(self.odd_namespace(b'"\n\\\xff name'))
        tree = self.enterContext(cgroups.Tree())
        leaks = [tree.leak(self.pair, b'system.slice/' + name, '--comm', os.fsdecode(b'new\nline' + name)[:14]) for name in NAMES]
        for leak in leaks:
            leak.strand(2)
        self.program = self.start_exporter(self.b, '--stale.close-wait=200ms', f'--collector.netns={other}*')
        self.program.wait_for(lambda page: page.sum('tcphealth_stale_connections', reason='close_wait') >= 2 * len(NAMES)
                              and len(page.series('tcphealth_stale_unit_connections')) >= len(NAMES), timeout=20)
        prometheus = self.assert_scraped()
        self.assertEqual(prom.check_metrics(self.program.request('/metrics').body), '')
        for path in ('/metrics', '/', '/api/v1/ports', '/api/v1/connections?reason=close_wait&holders=1'):
            self.assertNotRegex(self.program.request(path, timeout=patience(5)).body.decode('utf-8'), UNSEEN)
        self.assert_up(prometheus)
        table = exporter.run(self.b, '--list-stale', '--stale.close-wait=0ms')
        self.assertIn('esrever', table.stdout.decode('utf-8'))
        self.assertNotRegex(table.stdout.decode('utf-8'), UNSEEN)
        self.assertNotRegex(self.program.log_text(), UNSEEN)
        for line in self.program.log_text().splitlines():
            self.assertRegex(line, r'^ts=\S+Z level=\w+ msg=')

    @contextlib.contextmanager
    def odd_namespace(self, name):
        """`ip` refuses such names; the kernel does not."""
        with netns.Netns('odd') as other:
            path = b'/run/netns/' + os.fsencode(other.name) + name
            with open(path, 'wb'):
                pass
            subprocess.run([b'mount', b'--bind', os.fsencode(other.path), path], check=True)
            try:
                yield other.name
            finally:
                subprocess.run([b'umount', path], check=False)
                os.unlink(path)
