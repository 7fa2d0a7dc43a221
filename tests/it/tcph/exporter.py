"""The exporter under test: a process in a namespace, its pages, its log, and its exit."""
import functools
import os
import re
import signal
import subprocess
import tempfile
import time

from tcph import expo, netns, web
from tcph.poll import eventually

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.path.join(ROOT, os.environ.get('TCPHEALTH_BUILD', 'build'))
PROGRAM = os.path.abspath(os.environ.get('TCPHEALTH_BIN', os.path.join(BUILD, 'tcphealth_exporter')))
PORT = 10793

CONTENT_TYPE = {expo.TEXT: 'text/plain; version=0.0.4; charset=utf-8',
                expo.OPENMETRICS: 'application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores'}
_ACCEPT = {expo.TEXT: 'text/plain;version=0.0.4', expo.OPENMETRICS: 'application/openmetrics-text;version=1.0.0'}

_ENVIRONMENT = {'ASAN_OPTIONS': 'detect_leaks=1:exitcode=99', 'UBSAN_OPTIONS': 'print_stacktrace=1:exitcode=99',
                'TSAN_OPTIONS': 'exitcode=99:second_deadlock_stack=1'}
_SANITIZER_REPORT = re.compile(r'==\d+==ERROR: |WARNING: ThreadSanitizer|: runtime error: ')
_LOGFMT = re.compile(r'([a-z_]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')


@functools.lru_cache(maxsize=None)
def is_sanitized():
    """Whether the program was built with a sanitizer, and is slow therefore."""
    with open(PROGRAM, 'rb') as file:
        data = file.read()
    # gcc's runtime is a library, clang's is in the program.
    return any(name in data for name in (b'libasan.so', b'libtsan.so', b'__asan_init', b'__tsan_init'))


def patience(seconds):
    """A time limit for something that the program does, longer under a sanitizer."""
    return seconds * (10 if is_sanitized() else 1)


def environment():
    return {**_ENVIRONMENT, **os.environ}


def run(host, *args, timeout=20):
    """Runs the exporter to its end (--once, --help, bad flags); a CompletedProcess with bytes."""
    done = subprocess.run(host.argv(PROGRAM, *args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=patience(timeout), env=environment(), check=False)
    _refuse_reports(done.stderr.decode('utf-8', 'replace'))
    return done


def _refuse_reports(log):
    found = _SANITIZER_REPORT.search(log)
    if found:
        raise AssertionError('a sanitizer reports:\n' + log[found.start():][:20000])


class Exporter:
    """A running exporter, on `host` at 127.0.0.1:`port`, that samples all every 100 ms unless `args` say otherwise.

    Ended by the `with` block, or stop(): it must end by itself on SIGTERM, with status 0 and no sanitizer report.
    """

    def __init__(self, host, *args, port=PORT, ready=True):
        self.host = host
        self.port = port
        self._log = tempfile.TemporaryFile()
        # At ten samples a second the budget would soon leave full samples out: its own test sets one.
        defaults = [f'--web.listen-address=127.0.0.1:{port}', '--collector.interval=100ms', '--collector.full-every=1',
                    '--collector.cpu-budget=0']
        defaults = [flag for flag in defaults if not any(arg.startswith(flag.split('=')[0]) for arg in args)]
        self.process = host.popen(PROGRAM, *defaults, *args, stdin=subprocess.DEVNULL, stdout=self._log,
                                  stderr=self._log, env=environment())
        try:
            if ready:
                self.wait_ready()
        except BaseException:
            netns.kill(self.process)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.returncode is None:
            self.stop()

    def stop(self, number=signal.SIGTERM, within=1.0):
        """Ends it by a signal; returns how many seconds that took."""
        begun = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(patience(within))
        except subprocess.TimeoutExpired:
            netns.kill(self.process)
            raise AssertionError(f'still running {patience(within)} s after the signal\n{self.log_tail()}') from None
        _refuse_reports(self.log_text())
        if self.process.returncode != 0:
            raise AssertionError(f'ended with status {self.process.returncode}\n{self.log_tail()}')
        return time.monotonic() - begun

    # What it serves.

    def request(self, path, **options):
        """tcph.web.request() to this exporter. AssertionError, with its log, if it is not alive."""
        try:
            return web.request(self.host, self.port, path, **options)
        except OSError:
            if self.process.poll() is not None:
                raise AssertionError(f'the exporter is gone, status {self.process.returncode}\n'
                                     f'{self.log_tail()}') from None
            raise

    def wait_ready(self, timeout=10):
        def is_ready():
            try:
                return self.request('/-/ready').status == 200
            except ConnectionRefusedError:
                return False

        eventually(is_ready, timeout=patience(timeout), what=lambda: '/-/ready\n' + self.log_tail())

    def page(self, form=expo.TEXT, path='/metrics', **headers):
        """The metrics, checked strictly, as an expo.Page."""
        response = self.request(path, headers={'Accept': _ACCEPT[form], **headers})
        if response.status != 200 or response.headers.get_all('Content-Type') != [CONTENT_TYPE[form]]:
            raise AssertionError(f'{path}: status {response.status}, {response.headers.items()}')
        return expo.check(response.body, form)

    def wait_for(self, predicate, timeout=10, what=None):
        """Waits for a page whose sample began after this call and that pleases predicate(page).

        Returns the page. `what` says what is waited for: text, or a function of the last page.
        """
        begun = time.time()
        page = None

        def look():
            nonlocal page
            page = self.page()
            return _sampled_since(page, begun) and predicate(page)

        def told():
            return f'{what(page) if callable(what) else what or "the page that the test waits for"}\n{self.log_tail()}'

        eventually(look, timeout=patience(timeout), interval=0.05, what=told)
        return page

    def fresh_page(self):
        """A page whose sample began after this call."""
        return self.wait_for(lambda page: True, what='a new sample')

    def wait_value(self, want, name, /, timeout=10, **labels):
        """Waits until that series has the value, or a value that pleases the function; returns the page."""
        def is_there(page):
            have = page.value(name, **labels)
            return want(have) if callable(want) else have == want

        return self.wait_for(is_there, timeout, lambda page: f'{name}{labels}, now {page.value(name, **labels)}')

    # What it says.

    def log_text(self):
        self._log.seek(0)
        return self._log.read().decode('utf-8', 'replace')

    def log_tail(self):
        return ''.join(f'  exporter: {line}\n' for line in self.log_text().splitlines()[-20:])

    def log_entries(self):
        """The lines of its log (--log.format=logfmt) as dictionaries: ts, level, msg and more. One that is being written is none yet."""
        return [{key: re.sub(r'\\(.)', r'\1', quoted) or bare for key, quoted, bare in _LOGFMT.findall(line)}
                for line in self.log_text().splitlines(keepends=True) if line.endswith('\n')]


def _sampled_since(page, begun):
    """The timestamp says when the sample ended."""
    ended = page.value('tcphealth_last_sample_timestamp_seconds', tier='states')
    duration = page.value('tcphealth_sample_duration_seconds')
    return ended is not None and duration is not None and ended - duration >= begun
