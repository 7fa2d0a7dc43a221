"""Makes system calls of a running program fail, with strace, for the duration of a `with` block."""
import re
import signal
import subprocess
import tempfile

from tcph.poll import eventually


class Fault:
    """`calls` (a comma-separated list) of a thread fail as `how` says, in the words of strace's --inject.

    `more` are further ones, as CALLS:HOW.
    """

    def __init__(self, task, calls, how, *more):
        self._log = tempfile.NamedTemporaryFile(prefix='tcph-strace-')
        self._said = tempfile.TemporaryFile()
        injections = (f'{calls}:{how}', *more)
        argv = ['strace', '-qq', '-o', self._log.name, '-e', 'signal=none',
                '-e', 'trace=' + ','.join(injection.split(':')[0] for injection in injections)]
        argv += [f'--inject={injection}' for injection in injections] + ['-p', str(task)]
        self.task = task
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said)

    def __enter__(self):
        try:
            eventually(self._is_attached, timeout=10, what=lambda: f'strace at {self.task}: {self._words()}')
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """Detaches."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def count(self):
        """How often it struck."""
        with open(self._log.name, encoding='utf-8', errors='replace') as file:
            return len(re.findall(r'INJECTED', file.read()))

    def struck(self, times=1):
        return self.count() >= times

    def _is_attached(self):
        with open(f'/proc/{self.task}/status', encoding='utf-8') as file:
            tracer = re.search(r'TracerPid:\s*(\d+)', file.read())[1]
        if self._process.poll() is not None:
            raise AssertionError(f'strace ended: {self._words()}')
        return tracer == str(self._process.pid)

    def _words(self):
        self._said.seek(0)
        return self._said.read().decode('utf-8', 'replace')
