"""Common parts of the robustness tests: their size, the expected values of the page, and programs started through others."""
import contextlib
import gzip
import http.client
import json
import os
import time

from tcph import exporter, expo, scenes, web
from tcph.case import NetTest
from tcph.poll import eventually

FULL = os.environ.get('TCPHEALTH_ROBUST') == 'full'
#: What a request may end with while something is made to fail: no connection, no answer, half an answer.
NO_ANSWER = (OSError, http.client.HTTPException)
SAMPLER = 'tcphealth-dump'  # the name of the sampling thread
_ACCEPT = {expo.TEXT: 'text/plain;version=0.0.4', expo.OPENMETRICS: 'application/openmetrics-text;version=1.0.0'}


def scaled(quick, full):
    return full if FULL else quick


class Through:
    """A host whose programs are started by another one: `strace ... PROGRAM`."""

    def __init__(self, host, *launcher):
        self.host = host
        self.launcher = launcher

    def __getattr__(self, name):
        return getattr(self.host, name)

    def popen(self, *argv, **options):
        return self.host.popen(*self.launcher, *argv, **options)


class Truth:
    """Connections that stand still, and what an honest page says of them.

    `established` connections at one port and one in CLOSE-WAIT, at host b.
    """

    def __init__(self, pair, established=5):
        self._stack = contextlib.ExitStack()
        self.established = established
        first = self._stack.enter_context(scenes.established(pair))
        self.port = first.port
        for _ in range(established - 1):
            self._stack.enter_context(scenes.established(pair, listener=first.listener))
        self._stack.enter_context(scenes.close_wait(pair, listener=first.listener))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def lies_of(self, page):
        """What the page says and is not so; '' of an honest one. A failed sample may show old data, or none yet."""
        success = page.value('tcphealth_sample_success')
        if success not in (0, 1):
            return f'tcphealth_sample_success is {success}'
        where = {'role': 'server', 'port': self.port}
        wanted = {'established': self.established, 'close_wait': 1}
        have = {state: page.value('tcphealth_connections', state=state, **where) for state in wanted}
        if have == wanted or success == 0 and set(have.values()) == {None}:
            return ''
        return f'success {success}, connections at port {self.port} {have} and not {wanted}'


class RobustTest(NetTest):
    """A test with a truth and an exporter whose pages are checked against it."""

    truth = None
    program = None

    def make_truth(self, **options):
        self.truth = self.enterContext(Truth(self.pair, **options))
        return self.truth

    def start_exporter(self, host, *args, **options):
        """As elsewhere, but that its samples get their share of a busy machine: what is told of them is what is tested."""
        program = super().start_exporter(host, *args, **options)
        hasten_samples(program.process.pid)
        return program

    def fetch(self, path, **options):
        """One request; how it is sent may be changed in a test."""
        return self.program.request(path, **options)

    def ask(self, path='/metrics', form=expo.TEXT, headers=None, **options):
        """A page of metrics if one came, else None. Whatever came must be whole and well-formed, and metrics honest."""
        accept = {'Accept': _ACCEPT[form]} if path == '/metrics' else {}
        try:
            answer = self.fetch(path, headers={**accept, **(headers or {})}, **options)
        except NO_ANSWER:
            return None
        body = gzip.decompress(answer.body) if answer.headers['Content-Encoding'] == 'gzip' else answer.body
        kind = answer.headers.get('Content-Type', '')
        if kind.startswith('application/json'):
            json.loads(body)
        elif kind.startswith('text/html'):
            self.assertIn(b'</html>', body[-20:])
        if answer.status != 200 or path != '/metrics' or not body:
            return None
        page = expo.check(body, form)
        self.assertEqual(self.truth.lies_of(page), '')
        return page

    def assert_alive(self):
        status = self.program.process.poll()
        self.assertIsNone(status, f'the exporter is gone, status {status}\n{self.program.log_tail()}')

    def assert_recovers(self, what='', timeout=30):
        """A sample that began after this call succeeds, and is honest."""
        self.assert_alive()
        begun = time.time()
        page = None

        def is_good():
            nonlocal page
            page = self.ask(timeout=5)
            return (page is not None and page.value('tcphealth_sample_success') == 1
                    and page.value('tcphealth_last_sample_timestamp_seconds', tier='full')
                    - page.value('tcphealth_sample_duration_seconds') >= begun)

        eventually(is_good, timeout=exporter.patience(timeout), interval=0.02,
                   what=lambda: f'recovery {what}\n{self.program.log_tail()}')
        return page


def thread_ids(pid, name):
    found = []
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/comm', encoding='utf-8') as file:
            if file.read().strip() == name:
                found.append(int(task))
    return found


def hasten_samples(pid):
    """Before all else that runs: at the priority that the exporter gives itself a sample takes a minute on a machine that is busy."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may have ended at once
        for task in thread_ids(pid, SAMPLER):
            os.setpriority(os.PRIO_PROCESS, task, -10)


def resident_bytes(pid):
    with open(f'/proc/{pid}/statm', encoding='ascii') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def descriptors(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


__all__ = ['FULL', 'NO_ANSWER', 'RobustTest', 'SAMPLER', 'Through', 'Truth', 'descriptors', 'hasten_samples', 'resident_bytes',
           'scaled', 'thread_ids', 'web']
