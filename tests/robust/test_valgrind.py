"""Everything the exporter does, under valgrind: no error, no leak, no descriptor left open."""
import re
import signal
import tempfile
import time

from robust import RobustTest, Through
from tcph import exporter, expo, https
from tcph.poll import eventually

VALGRIND = ('valgrind', '--quiet', '--leak-check=full', '--show-leak-kinds=definite,indirect,possible',
            '--errors-for-leak-kinds=definite,indirect', '--error-exitcode=99', '--num-callers=20', '--track-fds=yes')
TIMEOUT = 60


class ValgrindTest(RobustTest):
    """The sandbox is for the program itself: valgrind makes other system calls."""

    def start(self, *args):
        self.program = exporter.Exporter(Through(self.b, *VALGRIND), '--no-sandbox', '--collector.interval=1s',
                                         *args, ready=False)
        self.addCleanup(lambda: self.program.process.poll() is None and self.program.process.kill())

    def wait_page(self):
        return eventually(lambda: self.ask(timeout=10), timeout=TIMEOUT, interval=0.3, what=self.program.log_tail)

    def work(self):
        for form in (expo.TEXT, expo.OPENMETRICS):
            self.ask(form=form, timeout=TIMEOUT)
        self.ask(headers={'Accept-Encoding': 'gzip'}, timeout=TIMEOUT)
        for path in ('/', '/style.css', '/-/ready', '/-/healthy', '/api/v1/ports', '/api/v1/connections?holders=1', '/nothing'):
            self.ask(path, timeout=TIMEOUT)
        self.ask(method='POST', timeout=TIMEOUT)
        self.program.process.send_signal(signal.SIGHUP)
        eventually(lambda: re.search('reloaded|nothing to reload', self.program.log_text()), timeout=TIMEOUT)
        time.sleep(1)
        self.ask(timeout=TIMEOUT)

    def end(self):
        """Between two samples: of one that takes longer than it waits for, the end is not clean."""
        self.assert_recovers(timeout=TIMEOUT)
        self.program.process.send_signal(signal.SIGTERM)
        status = self.program.process.wait(TIMEOUT)
        log = self.program.log_text()
        self.assertEqual(status, 0, log[-6000:])
        self.assertNotRegex(log, 'exiting without waiting', log[-6000:])
        self.assertNotRegex(log, r'Open (file descriptor|\S+ socket) \d+:.*\n(?!.*inherited)', log[-6000:])

    def test_plain(self):
        self.make_truth()
        self.start(f'--collector.netns={self.a.name}')
        self.wait_page()
        self.work()
        self.end()

    def test_https(self):
        self.make_truth()
        site = https.Site(self.enterContext(tempfile.TemporaryDirectory()))
        site.write_tls(rest=f'basic_auth_users:\n  monitor: {https.bcrypt("secret")}\n')
        self.start(f'--web.config.file={site.path}')
        context = site.context()

        def fetch(path, method='GET', headers=None, timeout=5, **_):
            session = https.Session(self.b, self.program.port, context)
            return session.request(path, method, {**https.basic('monitor', 'secret'), **(headers or {})}, timeout)

        self.fetch = fetch
        self.wait_page()
        self.work()
        self.end()
