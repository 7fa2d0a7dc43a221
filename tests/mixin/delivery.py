"""The checks of the Alertmanager's example: where alerts go, and how many messages they make."""
import collections
import http.server
import json
import os
import re
import socket
import subprocess
import threading
import time
import urllib.request

from checks import ROOT, complaints, read, write

CONFIG = os.path.join(ROOT, 'deploy/alertmanager/alertmanager.yml')
PATIENCE = 30

ROUTES = [
    ('pages', {'alertname': 'TCPHealthListenerDropping', 'severity': 'critical', 'port': '8080'}),
    ('pages', {'alertname': 'TCPHealthNoConnectSucceeds', 'severity': 'critical', 'port': '9000'}),
    ('tickets', {'alertname': 'TCPHealthCloseWaitStale', 'severity': 'warning', 'port': '8080'}),
    ('tickets', {'alertname': 'TCPHealthCloseWaitStale', 'severity': 'warning', 'port': '9000'}),
    ('tickets', {'alertname': 'TCPHealthExporterDown', 'severity': 'warning'}),
    ('nobody', {'alertname': 'TCPHealthIdleUnnoticed', 'severity': 'info', 'port': '8080'}),
]


def goes_to(receiver, labels):
    pairs = [f'{label}={value}' for label, value in labels.items()]
    return complaints('amtool', 'config', 'routes', 'test', f'--config.file={CONFIG}', f'--verify.receivers={receiver}',
                      *pairs)


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.1)


class Receiver(http.server.ThreadingHTTPServer):
    """A webhook that keeps the messages, by the path they came to."""

    def __init__(self):
        self.messages = collections.defaultdict(list)
        super().__init__(('127.0.0.1', 0), self.handler())
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handler(self):
        messages = self.messages

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
                messages[self.path].append(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        return Handler

    def summary(self):
        """For each path: the port of each message, and the names in it with their number."""
        return {path: sorted((message['groupLabels'].get('port', ''), dict(sorted(collections.Counter(
            alert['labels']['alertname'] for alert in message['alerts']).items())))
            for message in messages) for path, messages in list(self.messages.items())}


class Alertmanager:
    """A real one with the example's configuration, but for receivers and patience."""

    def __init__(self, scratch, receiver):
        self.url = f'http://127.0.0.1:{free_port()}'
        config = read(CONFIG).replace('http://localhost:9095', f'http://127.0.0.1:{receiver.server_port}')
        path = os.path.join(scratch, 'alertmanager.yml')
        write(path, re.sub(r'group_wait: \w+', 'group_wait: 2s', config))
        self.process = subprocess.Popen(
            ['prometheus-alertmanager', f'--config.file={path}', f'--storage.path={scratch}/alertmanager',
             f'--web.listen-address={self.url[7:]}', '--cluster.listen-address=', '--log.level=error'])

    def __enter__(self):
        wait_for(self.is_ready, 'the Alertmanager does not start')
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE)

    def is_ready(self):
        try:
            with urllib.request.urlopen(f'{self.url}/-/ready', timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def post(self, alerts):
        request = urllib.request.Request(f'{self.url}/api/v2/alerts', json.dumps(alerts).encode(),
                                         {'Content-Type': 'application/json'})
        with urllib.request.urlopen(request, timeout=PATIENCE):
            pass


def alert(name, severity, instance, port, **more):
    return {'labels': {'alertname': f'TCPHealth{name}', 'severity': severity, 'job': 'tcphealth', 'instance': instance,
                       'port': port, **more}}


def storm():
    """One culprit with 200 clients on port 8080, 200 clients without a culprit on 7070, and bystanders."""
    clients = [f'client{i}' for i in range(200)]
    yield alert('ListenerDropping', 'critical', 'culprit', '8080')
    yield from (alert('NoConnectSucceeds', 'critical', client, '8080') for client in clients)
    yield from (alert('ConnectingTooLong', 'warning', client, '8080', role='client') for client in clients)
    yield from (alert('IdleUnnoticed', 'info', client, '8080', role='client') for client in clients)
    yield from (alert('FinWait2Held', 'warning', client, '7070', role='client') for client in clients)
    yield alert('CloseWaitStale', 'warning', 'bystander', '6060', role='server')
    yield alert('ConnectingTooLong', 'warning', 'bystander', '6060', role='client')
    # The same host, port and side: the more telling one is enough.
    yield alert('StuckWithoutListener', 'warning', 'gone', '5050', role='server')
    yield alert('CloseWaitStale', 'warning', 'gone', '5050', role='server')
    # The other end of the same connections, on the same host.
    yield alert('CloseWaitStale', 'warning', 'gone', '5050', role='client')
    # Blind: the old figures of that host are held back, a page is not.
    yield alert('SampleFailing', 'warning', 'blind', '')
    yield alert('CloseWaitStale', 'warning', 'blind', '4040', role='server')
    yield alert('NoConnectSucceeds', 'critical', 'blind', '4041')


WANTED = {
    '/pages': [('4041', {'TCPHealthNoConnectSucceeds': 1}), ('8080', {'TCPHealthListenerDropping': 1})],
    '/tickets': [
        ('', {'TCPHealthSampleFailing': 1}),
        ('5050', {'TCPHealthCloseWaitStale': 1, 'TCPHealthStuckWithoutListener': 1}),
        ('6060', {'TCPHealthCloseWaitStale': 1, 'TCPHealthConnectingTooLong': 1}),
        ('7070', {'TCPHealthFinWait2Held': 200}),
    ],
}


def one_culprit_is_one_message(scratch):
    with Receiver() as receiver, Alertmanager(scratch, receiver) as manager:
        manager.post(list(storm()))
        try:
            wait_for(lambda: receiver.summary() == WANTED, 'not the messages that are wanted')
        except TimeoutError as late:
            yield str(late)
        # What should not come has as long as what did.
        time.sleep(2)
        if receiver.summary() != WANTED:
            yield f'wanted: {WANTED}'
            yield f'came:   {receiver.summary()}'
        receiver.shutdown()


def every(scratch):
    """All checks, as (name, function)."""
    return [
        ('amtool check-config', lambda: complaints('amtool', 'check-config', CONFIG)),
        *((f'route of {labels["alertname"]} port {labels.get("port")}', lambda r=receiver, l=labels: goes_to(r, l))
          for receiver, labels in ROUTES),
        ('one culprit is one message', lambda: one_culprit_is_one_message(scratch)),
    ]
