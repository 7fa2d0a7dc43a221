"""Every sample that an exporter publishes, one after the other, while a test does something else.

    with watch.Watch(program) as seen:
        ...
        seen.after(moment)          # samples that began after it
    for sample in seen.samples: sample.page.value(...)

On each page it checks that no counter has fallen or vanished since the page before. The `with` block raises the result.
"""
import dataclasses
import math
import threading
import time

from tcph import expo
from tcph.exporter import patience
from tcph.poll import eventually


@dataclasses.dataclass(frozen=True)
class Sample:
    """One sample: it looked at the sockets between `begun` (-inf if unknown) and `ended` (time.time())."""
    begun: float
    ended: float
    page: expo.Page


class Watch:
    """Polls the metrics in a thread of its own."""

    def __init__(self, program, pause=0.02):
        self.program = program
        self.samples = []
        self._pause = pause
        self._counters = {}
        self._error = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        self._thread.join(patience(10))
        if self._error and kind is None:
            raise self._error

    def after(self, moment):
        """The samples that began after the moment."""
        return [sample for sample in list(self.samples) if sample.begun >= moment]

    def wait(self, seconds, least=3):
        """Waits until a sample began that much later than now, for that many at least, and returns all since now."""
        begun = time.time()
        self.wait_for(lambda: self.after(begun + seconds) and len(self.after(begun)) >= least,
                      seconds + patience(30), f'{least} samples in {seconds} s and more')
        return self.after(begun)

    def wait_for(self, condition, timeout, what):
        eventually(lambda: condition() or self._error, timeout=timeout, what=what)
        if self._error:
            raise self._error

    def _run(self):
        try:
            while not self._stop.wait(self._pause):
                self._look()
        except BaseException as error:  # pylint: disable=broad-except
            self._error = error

    def _look(self):
        page = self.program.page()
        ended = page.value('tcphealth_last_sample_timestamp_seconds', tier='full')
        if ended is None or self.samples and ended == self.samples[-1].ended:
            return
        self._check_counters(page)
        # Under load the watchdog publishes between two samples; then the duration is that of the one under way.
        begun = ended - page.value('tcphealth_sample_duration_seconds')
        if page.value('tcphealth_sample_success') != 1:
            begun = -math.inf
        self.samples.append(Sample(begun, ended, page))

    def _check_counters(self, page):
        counters = {key: value for key, value in page.samples.items() if key[0].endswith('_total')}
        for (name, labels), before in self._counters.items():
            now = counters.get((name, labels))
            if now is None or now < before:
                raise AssertionError(f'{name}{dict(labels)} went from {before:g} to {now}')
        self._counters = counters
