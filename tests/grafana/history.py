"""A Prometheus with four weeks of data: a shop that is open from 8 to 20 o'clock, and closed on Sundays.

promtool creates the blocks from text, because the dashboard about hours covers more time than a test has.
"""
import datetime
import os
import random
import subprocess
import tempfile
import time

from tcph import netns, prom

PORT = 9091
DAYS = 28
PERIOD = 300
HOSTS = (('10.77.0.1:10793', 'client'), ('10.77.0.2:10793', 'server'))


def rate(moment):
    """Connections a second."""
    when = datetime.datetime.fromtimestamp(moment, datetime.timezone.utc)
    busy = 8 <= when.hour < 20 and when.weekday() < 6
    return random.uniform(2, 4) + (2 if when.hour in (11, 12, 17) else 0) if busy else 0.01


def series(port, end):
    """The lines of an OpenMetrics text."""
    moments = range(end - DAYS * 86400, end + 1, PERIOD)
    rates = [rate(moment) for moment in moments]
    for instance, role in HOSTS:
        labels = f'{{job="tcphealth",instance="{instance}",port="{port}",role="{role}"}}'
        yield from (f'port:tcphealth_transferred_bytes:rate5m{labels} {20000 * value:.1f} {moment}'
                    for moment, value in zip(moments, rates))
    for instance, role in HOSTS:
        labels = f'{{job="tcphealth",instance="{instance}",port="{port}",role="{role}"}}'
        total = 0
        for moment, value in zip(moments, rates):
            total += value * PERIOD
            yield f'tcphealth_opened_connections_total{labels} {total:.1f} {moment}'
    yield '# EOF'


class History(prom.Prometheus):
    """`with History(host, port) as prometheus`: until `prometheus.end`, in seconds."""

    def __init__(self, host, port):
        self.host, self.port = host, PORT
        self.end = int(time.time()) // PERIOD * PERIOD
        self._directory = tempfile.TemporaryDirectory(prefix='tcph-history-')
        self._log = open(self._path('log'), 'w+', encoding='utf-8')
        self._fill(port)
        self.process = host.popen(
            'prometheus', '--config.file=/dev/null', '--storage.tsdb.path=' + self._path('data'),
            '--storage.tsdb.retention.time=60d', f'--web.listen-address=127.0.0.1:{PORT}', '--log.level=warn',
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        try:
            self.wait_for('vector(1)', bool, timeout=60)
        except BaseException:
            netns.kill(self.process)
            raise

    def _fill(self, port):
        text = self._path('text')
        with open(text, 'w', encoding='utf-8') as file:
            file.writelines(line + '\n' for line in series(port, self.end))
        subprocess.run(['promtool', 'tsdb', 'create-blocks-from', '--max-block-duration=48h', 'openmetrics', text,
                        self._path('data')], stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=True)
        os.remove(text)
