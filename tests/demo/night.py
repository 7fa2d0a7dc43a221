"""The incident of README.md on two simulated hosts, with their monitoring.

Host a has the opener, which never closes a connection. Host b has one-shot listeners (`nc -l -p PORT` under systemd),
which accept one connection and half-close it at once, and a feed with peers that vanish. The opener tries to connect again
and is refused. There is an exporter on each host, and a Prometheus and an Alertmanager on host a.
"""
import contextlib
import os
import subprocess
import sys

import monitoring
from tcph import cgroups, exporter, netns, scenes, ss
from tcph.poll import eventually

LOAD, SHORT, GONE, FEED = 35111, 35112, 35113, 9200
#: How often the service on LOAD is started, and how many clients the feed has.
LOADS, CLIENTS = 6, 4
A, B = '10.77.0.1:10793', '10.77.0.2:10793'
ACTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'actors.py')
FLAGS = ('--web.listen-address=0.0.0.0:10793', '--collector.interval=250ms', '--stale.close-wait=1s', '--stale.fin-wait2=1s')


def alert(name, severity, **labels):
    return {'alertname': 'TCPHealth' + name, 'severity': severity, **labels}


def on(instance, port, role=None):
    return {'job': 'tcphealth', 'instance': instance, 'port': str(port), **({'role': role} if role else {})}


#: (receiver, labels, parts of the text) of each alert that has to reach the webhook; no other may.
EXPECTED = (
    ('pages', alert('NoConnectSucceeds', 'critical', **on(A, LOAD)),
     ('not one succeeded', 'refused: ', 'opener.service')),
    ('tickets', alert('CloseWaitStale', 'warning', reason='close_wait', **on(A, LOAD, 'client')),
     (f'{LOADS} connections in CLOSE_WAIT', f'opener.service ({LOADS}, the oldest for', 'systemctl restart opener.service',
      f"ss -tnop state close-wait 'dport = :{LOAD}'")),
    *(('tickets', alert('StuckWithoutListener', 'warning', **on(B, port, 'server')),
       (f'{count} stale connection', 'No program here is to blame', 'look at the peers')) for port, count in ((LOAD, LOADS), (SHORT, 1), (GONE, 1))),
    ('tickets', alert('EndsDisagree', 'warning', link='opener to load', port=str(GONE), side='server'),
     ('have 1 connection that the clients do not', f'load@{GONE}.service has 1 stale (fin_wait2)')),
    ('tickets', alert('HalfOpen', 'warning', **on(B, FEED, 'server')),
     (f'{CLIENTS} established connections', f'feed.service ({CLIENTS}', 'Nothing here needs a restart')),
)
#: Alerts that fire and that the Alertmanager inhibits, because another one says more.
HELD_BACK = (
    alert('FinWait2Held', 'warning', reason='fin_wait2', **on(B, LOAD, 'server')),
    alert('ConnectsRefused', 'warning', **on(A, LOAD)),
)
UNITS = {'opener.service'}


def arrange(labels):
    return sorted(sorted(entry.items()) for entry in labels)


class Night:
    """The two hosts and everything that runs on them, until the end of the `with` block.

    Calls say(text) for each event, and told(receiver, alert) for each alert that reaches the webhook.
    """

    def __init__(self, say=lambda text: None, told=lambda receiver, alert: None):
        self.say = say
        with contextlib.ExitStack() as stack:
            self._stack = stack
            self._build(told)
            self._stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _build(self, told):
        keep = self._stack.enter_context
        self.say('two namespaces as hosts a and b, connected by a veth')
        self.pair = keep(netns.Pair())
        self.a, self.b = self.pair.a, self.pair.b
        # Without a writable cgroup2 hierarchy there are no units.
        self.tree = keep(cgroups.Tree()) if cgroups.is_usable() else None
        self.webhook = keep(monitoring.Webhook(self.a, told))
        self.remedy = keep(monitoring.RemedyHook(self.a, A, 'opener.service'))
        self.say('starting an Alertmanager')
        self.alertmanager = keep(monitoring.Alertmanager(self.a, A))
        self.say('starting an exporter on each host')
        self.exporters = [keep(exporter.Exporter(host, *FLAGS)) for host in (self.a, self.b)]
        self.say('starting a Prometheus that scrapes both')
        self.prometheus = keep(monitoring.Prometheus(self.a, [A, B], monitoring.short_rules(A, B, GONE)))
        self._actors()

    def _actors(self):
        self.opener = self.start(self.a, 'opener.service', ACTORS, 'opener', self.b.address[4])
        self.feed = self.start(self.b, 'feed.service', ACTORS, 'feed', self.b.address[4], FEED)
        self.feed.stdout.readline()

    def start(self, host, unit, *argv):
        """A Python program as a service of that name, with pipes."""
        argv = [sys.executable, '-IS', *map(str, argv)]
        pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
        if self.tree:
            process = self.tree.popen(host, self.tree.make(f'system.slice/{unit}'), *argv, **pipes)
        else:
            process = host.popen(*argv, **pipes)
        # popen's own callback runs after these: the pipes are closed first, then the process is killed.
        self._stack.callback(netns.kill, process)
        self._stack.callback(process.stdin.close)
        self._stack.callback(process.stdout.close)
        return process

    # The incident

    def play(self):
        self._one_shots(LOAD, LOADS)
        self._one_shots(SHORT, 1)
        self._one_shots(GONE, 1)
        self.say(f'a has {CLIENTS} connections to the feed on port {FEED}')
        for _ in range(CLIENTS):
            self.order('open', FEED)
        self._vanish()
        self.say(f'the opener keeps connecting to port {LOAD}, where nothing listens any more: refused')
        self.order('retry', LOAD)

    def order(self, command, port):
        self.opener.stdin.write(f'{command} {port}\n')
        self.opener.stdin.flush()
        if self.opener.stdout.readline() != 'done\n':
            raise AssertionError(f'the opener ended at "{command} {port}"')

    def _one_shots(self, port, times):
        self.say(f'load@{port}.service accepts a connection, closes its listener and half-closes'
                 + (f'; {times} times' if times > 1 else '') + '. The opener never closes')
        for number in range(1, times + 1):
            process = self.start(self.b, f'load@{port}.service', scenes.ONE_SHOT, self.b.address[4], port)
            process.stdout.readline()
            process.stdin.close()
            self.exporters[1].wait_value(1, 'tcphealth_listeners', port=port)
            self.order('open', port)
            eventually(lambda want=number: ss.count(self.b, state='FIN-WAIT-2', local_port=port) == want,
                       what=f'{number} FIN-WAIT-2 on port {port}')

    def _vanish(self):
        """The peers end, and no segment reaches the other side."""
        self.say(f'the clients of ports {FEED} and {GONE} vanish')
        for port in (FEED, GONE):
            self._stack.enter_context(self.b.drop(f'tcp dport {port}'))
            self._stack.enter_context(self.a.drop(f'tcp sport {port}'))
            self.order('vanish', port)

    # The outcome

    def reached(self):
        """[(receiver, labels)] of the alerts that reached the webhook."""
        return [(receiver, labels) for receiver, labels, _ in self.webhook.received()]

    def missing(self):
        reached = self.reached()
        return [f'{receiver}: {labels}' for receiver, labels, _ in EXPECTED if (receiver, labels) not in reached]

    def wait_for_alerts(self, timeout=90):
        """Waits until all expected alerts came, and those to be inhibited are inhibited."""
        eventually(lambda: not self.missing(), timeout, 0.2, lambda: f'{self.missing()}\nfiring: '
                   f'{self.prometheus.firing()}\n{self.prometheus.rule_errors()}\n{self.alertmanager.log_text()}')
        eventually(lambda: arrange(self.alertmanager.suppressed()) == arrange(HELD_BACK), 30, 0.2,
                   lambda: f'inhibited: {self.alertmanager.suppressed()}\nreached: {self.reached()}')

    def text_of(self, labels):
        return next(annotations['summary'] + '\n' + annotations['description']
                    for _, found, annotations in self.webhook.received() if found == labels)

    def complaints(self):
        """{what was checked: [what is wrong]}"""
        return {'alerts that came': list(self._unexpected()), 'texts': list(self._wrong_texts()),
                'alerts that fire': list(self._wrong_firing()), 'remedy hook': list(self._wrong_remedy())}

    def _unexpected(self):
        yield from self.missing()
        wanted = [(receiver, labels) for receiver, labels, _ in EXPECTED]
        yield from (f'unexpected: {entry}' for entry in self.reached() if entry not in wanted)

    def _wrong_texts(self):
        for _, labels, parts in EXPECTED:
            text = self.text_of(labels)
            for part in parts:
                if part not in text and (self.tree or '.service' not in part):
                    yield f'{labels}: no "{part}" in the text: {text}'

    def _wrong_firing(self):
        wanted = [labels for _, labels, _ in EXPECTED] + list(HELD_BACK)
        if arrange(self.prometheus.firing()) != arrange(wanted):
            yield f'fires: {self.prometheus.firing()}'
        yield from (f'rule {name}: {error}' for name, error in self.prometheus.rule_errors())

    def _wrong_remedy(self):
        """The hook gets the same alerts in separate messages."""
        try:
            eventually(lambda: not self.tree or set(self.remedy.would_restart()) == UNITS, timeout=15, interval=0.2)
        except AssertionError:
            yield self.remedy.text()
