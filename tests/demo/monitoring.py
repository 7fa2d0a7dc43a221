"""The monitoring of the two hosts: Prometheus, Alertmanager, a webhook and the remedy hook, as shipped but faster."""
import collections
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

from tcph import exporter, netns, prom, web
from tcph.poll import eventually

ALERTMANAGER_PORT, WEBHOOK_PORT, REMEDY_PORT = 9093, 9095, 9096
MIXIN = os.path.join(exporter.ROOT, 'deploy/mixin')
REMEDY = os.path.join(exporter.ROOT, 'deploy/remedy')
#: Differences from the shipped files, as text.
CHANGES = (
    'alerts: each minute in `for`, windows and offsets is a second, each hour a minute (short.jsonnet)',
    'recording rules: as shipped',
    'prometheus.yml: scrapes and evaluates every second instead of every 15 s; other targets',
    'alertmanager.yml: group_wait 5 s instead of 30 s, group_interval 5 s instead of 5 m; other addresses',
    'exporters: a sample every 250 ms instead of 5 s; CLOSE_WAIT and FIN_WAIT2 are stale after 1 s instead of 60 s',
)


def read(*path):
    with open(os.path.join(exporter.ROOT, *path), encoding='utf-8') as file:
        return file.read()


def substitute(text, *changes):
    """Like str.replace(), but fails if there is nothing to replace."""
    for old, new in changes:
        if old not in text:
            raise AssertionError(f'{old!r} is not in the shipped file any more')
        text = text.replace(old, new)
    return text


def short_rules(clients, servers, port):
    """{'alerts': ..., 'rules': ...}: the shipped rules with short times, and a link between two targets."""
    done = subprocess.run(['jsonnet', '-J', MIXIN, '-J', REMEDY, '--tla-str', f'clients={clients}', '--tla-str',
                           f'servers={servers}', '--tla-code', f'port={port}',
                           os.path.join(os.path.dirname(__file__), 'short.jsonnet')],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


class Prometheus(prom.Prometheus):
    """With the shipped configuration; `rules` is what short_rules() returns."""

    def _configure(self, targets, rules, scrape):
        config = substitute(
            read('deploy/prometheus/prometheus.yml'),
            ('scrape_interval: 15s', 'scrape_interval: 1s'), ('evaluation_interval: 15s', 'evaluation_interval: 1s'),
            ('["a.example:10793", "b.example:10793"]', json.dumps(targets)),
            ('"localhost:9093"', f'"127.0.0.1:{ALERTMANAGER_PORT}"'))
        os.mkdir(self._path('rules'))
        for name, groups in rules.items():
            with open(self._path(f'rules/{name}.yaml'), 'w', encoding='utf-8') as file:
                json.dump(groups, file)
        with open(self._path('config.json'), 'w', encoding='utf-8') as file:
            file.write(config)

    def firing(self):
        """The labels of every alert that fires."""
        return [alert['labels'] for alert in self.api('alerts')['alerts'] if alert['state'] == 'firing']

    def rule_errors(self):
        return [(rule['name'], rule['lastError']) for group in self.api('rules')['groups'] for rule in group['rules']
                if rule.get('lastError')]


class Alertmanager:
    """With the shipped configuration, and the remedy hook of deploy/remedy/README.md for one instance."""

    def __init__(self, host, instance):
        self.host = host
        self._directory = tempfile.TemporaryDirectory(prefix='tcph-alertmanager-')
        self._log = tempfile.TemporaryFile()
        path = os.path.join(self._directory.name, 'alertmanager.yml')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(self.configuration(instance))
        self.process = host.popen(
            'prometheus-alertmanager', f'--config.file={path}', f'--storage.path={self._directory.name}/data',
            f'--web.listen-address=127.0.0.1:{ALERTMANAGER_PORT}', '--cluster.listen-address=', '--log.level=warn',
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        try:
            eventually(self._is_ready, timeout=30, interval=0.2, what=self.log_text)
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def configuration(instance):
        config = read('deploy/alertmanager/alertmanager.yml')
        route, receiver = re.findall(r'```yaml\n(.*?)```', read('deploy/remedy/README.md'), re.DOTALL)
        config = substitute(
            config, ('group_wait: 30s', 'group_wait: 5s'), ('group_interval: 5m', 'group_interval: 5s'),
            ('http://localhost:9095', f'http://127.0.0.1:{WEBHOOK_PORT}'),
            ('\n  routes:\n', '\n  routes:\n' + substitute(route, ('a.example:10793', instance))),
            ('\nreceivers:\n', '\nreceivers:\n' + receiver))
        return substitute(config, ('http://localhost:9096', f'http://127.0.0.1:{REMEDY_PORT}'))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        netns.kill(self.process)
        self._log.close()
        self._directory.cleanup()

    def log_text(self):
        self._log.seek(0)
        return self._log.read().decode('utf-8', 'replace')

    def suppressed(self):
        """The labels of what is inhibited or muted."""
        found = web.request(self.host, ALERTMANAGER_PORT, '/api/v2/alerts', timeout=10).json()
        return [alert['labels'] for alert in found if alert['status']['state'] == 'suppressed']

    def _is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f'the Alertmanager is gone: {self.log_text()}')
        try:
            return web.request(self.host, ALERTMANAGER_PORT, '/-/ready').status == 200
        except OSError:
            return False


class Webhook(http.server.ThreadingHTTPServer):
    """Keeps the alerts that fire by receiver and labels, {(receiver, labels): alert}; tells `told` of each new one."""
    daemon_threads = True

    def __init__(self, host, told):
        super().__init__(('127.0.0.1', WEBHOOK_PORT), self._handler(), bind_and_activate=False)
        self.socket.close()
        self.socket = host.socket()
        self.server_bind()
        self.server_activate()
        self.alerts = {}
        self.messages = collections.Counter()
        self._told = told
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def __exit__(self, *_):
        self.shutdown()
        self._thread.join()
        self.server_close()

    def take(self, message):
        """Under a lock: messages of several groups come at once."""
        with self._lock:
            self.messages[message['receiver']] += 1
            for alert in message['alerts']:
                key = message['receiver'], frozenset(alert['labels'].items())
                if alert['status'] == 'firing' and key not in self.alerts:
                    self.alerts[key] = alert
                    self._told(message['receiver'], alert)

    def received(self):
        """[(receiver, labels, annotations)]"""
        with self._lock:
            return [(receiver, dict(labels), alert['annotations']) for (receiver, labels), alert in self.alerts.items()]

    def _handler(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 10

            def do_POST(self):
                message = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
                self.send_response(200)
                self.end_headers()
                server.take(message)

            def log_message(self, *_):
                pass

        return Handler


class RemedyHook:
    """The shipped hook for `instance`, in a dry run."""

    def __init__(self, host, instance, allow):
        self._log = tempfile.TemporaryFile()
        self.process = host.popen(
            sys.executable, os.path.join(REMEDY, 'tcphealth_remedy'), f'--listen=127.0.0.1:{REMEDY_PORT}',
            f'--instance={instance}', f'--allow={allow}', '--limit=10',
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        eventually(lambda: 'msg="listening"' in self.text() or self.process.poll() is not None, timeout=20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        netns.kill(self.process)
        self._log.close()

    def text(self):
        self._log.seek(0)
        return self._log.read().decode()

    def would_restart(self):
        return re.findall(r'msg="would restart \(dry run\)".* unit="([^"]*)"', self.text())


class Clock:
    """Seconds since the demonstration began."""

    def __init__(self):
        self._begun = time.monotonic()

    def __call__(self):
        return time.monotonic() - self._begun
