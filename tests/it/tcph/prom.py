"""A real Prometheus in a namespace, and promtool."""
import json
import os
import signal
import subprocess
import tempfile
import urllib.parse

from tcph import netns, web
from tcph.poll import eventually

PORT = 9090


def check_metrics(data):
    """promtool's opinion of a page in text format: '' or its complaints."""
    done = subprocess.run(['promtool', 'check', 'metrics'], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=20, check=False)
    return '' if done.returncode == 0 else done.stdout.decode() or f'status {done.returncode}'


class Prometheus:
    """Scrapes `targets` (["127.0.0.1:10793"]) from `host`, each second. Returns once all of them are up.

    `rules` is the text of a rule file; `scrape` has further settings of the scrape job.
    """

    #: Seconds until all targets are up.
    within = 30

    def __init__(self, host, targets, rules=None, port=PORT, **scrape):
        self.host = host
        self.port = port
        self._directory = tempfile.TemporaryDirectory(prefix='tcph-prometheus-')
        self._log = open(self._path('log'), 'w+', encoding='utf-8')
        self._configure(targets, rules, scrape)
        self.process = host.popen(
            'prometheus', '--config.file=' + self._path('config.json'), '--storage.tsdb.path=' + self._path('data'),
            f'--web.listen-address=127.0.0.1:{port}', '--log.level=warn',
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        try:
            self.wait_for('sum(up)', lambda found: found and found[0][1] == len(targets), timeout=self.within)
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                netns.kill(self.process)
        self._log.close()
        self._directory.cleanup()

    def api(self, path, **parameters):
        """The data of an answer of the HTTP API."""
        query = urllib.parse.urlencode(parameters)
        answer = web.request(self.host, self.port, f'/api/v1/{path}?{query}', timeout=10).json()
        if answer['status'] != 'success':
            raise AssertionError(f'{path} {parameters}: {answer}')
        return answer['data']

    def query(self, expression):
        """[(labels, value)] of an instant query that makes a vector."""
        data = self.api('query', query=expression)
        if data['resultType'] != 'vector':
            raise AssertionError(f'{expression} makes a {data["resultType"]}')
        return [(sample['metric'], float(sample['value'][1])) for sample in data['result']]

    def wait_for(self, expression, predicate, timeout=15):
        """Waits until predicate([(labels, value)]) holds for the query; returns that list."""
        found = None

        def look():
            nonlocal found
            if self.process.poll() is not None:
                raise AssertionError(f'Prometheus is gone: {self.log_text()}')
            try:
                found = self.query(expression)
            except (OSError, json.JSONDecodeError):
                return False
            return predicate(found)

        eventually(look, timeout=timeout, interval=0.2,
                   what=lambda: f'{expression}, now {found}; {self._target_errors()}; {self.log_text()}')
        return found

    def log_text(self):
        self._log.seek(0)
        return self._log.read()

    def _target_errors(self):
        try:
            return [target['lastError'] for target in self.api('targets')['activeTargets']]
        except OSError as error:
            return str(error)

    def _path(self, name):
        return os.path.join(self._directory.name, name)

    def _configure(self, targets, rules, scrape):
        """JSON is YAML."""
        config = {'global': {'scrape_interval': '1s', 'scrape_timeout': '1s', 'evaluation_interval': '1s'},
                  'scrape_configs': [{'job_name': 'tcphealth', 'static_configs': [{'targets': targets}], **scrape}]}
        if rules:
            config['rule_files'] = [self._path('rules.yml')]
            with open(self._path('rules.yml'), 'w', encoding='utf-8') as file:
                file.write(rules)
        with open(self._path('config.json'), 'w', encoding='utf-8') as file:
            json.dump(config, file)
