"""The commands of docs/runbooks.md on real stale connections: each shows what the runbook says it shows.

Runs every command under "Confirm." that needs no service manager and no other host, with the port and role replaced.
Commands like `systemctl` and `journalctl` are not run.
"""
import os
import re
import socket
import subprocess
import unittest

from tcph import exporter, netns, scenes
from tcph.poll import eventually
from tcph.reasons import thresholds

RUNBOOKS = os.path.join(exporter.ROOT, 'docs/runbooks.md')
#: What needs a service manager, another program or another host.
ELSEWHERE = re.compile(r'systemctl|journalctl|timedatectl|/proc/|\bping\b|\bnc\b|ethtool|ip route|promtool|:9090')

#: (alert, the scene that leads to it, which of its commands where a scene is not for all of them)
CASES = (
    ('TCPHealthCloseWaitStale', scenes.close_wait, ''),
    ('TCPHealthCloseWaitLeak', scenes.close_wait, ''),
    ('TCPHealthEndUnread', scenes.eof_unread, ''),
    ('TCPHealthFinWait2Held', scenes.fin_wait2_held, ''),
    ('TCPHealthClosingStuck', scenes.fin_wait1_orphan, 'fin-wait-1'),
    ('TCPHealthClosingStuck', scenes.last_ack, 'last-ack'),
    ('TCPHealthConnectionsUnaccepted', scenes.unaccepted, ''),
    ('TCPHealthConnectingTooLong', scenes.syn_sent, ''),
    ('TCPHealthHalfOpen', scenes.half_open_unacked, ''),
    ('TCPHealthHalfOpen', scenes.half_open_keepalive, ''),
    ('TCPHealthPeerNotReading', scenes.zero_window, ''),
    ('TCPHealthProgramNotReading', scenes.unread, ''),
    ('TCPHealthIdleUnnoticed', scenes.established, ''),
    ('TCPHealthStuckWithoutListener', scenes.one_shot, '-tnop'),
    ('TCPHealthEndsDisagree', scenes.established, ''),
    ('TCPHealthConnectsTimingOut', scenes.syn_sent, ''),
    ('TCPHealthNoConnectSucceeds', scenes.refused, ''),
    ('TCPHealthAcceptQueueSaturated', scenes.accept_overflow, ''),
    ('TCPHealthListenerDropping', scenes.syn_queue_overflow, ''),
    ('TCPHealthRetransmissionsHigh', scenes.half_open_unacked, ''),
    ('TCPHealthEphemeralPortsRunningOut', scenes.established, ''),
    ('TCPHealthEphemeralPortsExhausted', scenes.established, ''),
)
DEAD = 'TCPHealthDeadConnectionsHeld'
EXPORTER = ('TCPHealthExporterDown', 'TCPHealthSampleFailing', 'TCPHealthSamplesLate', 'TCPHealthEventsOverrun')


def sections():
    """{alert: its commands under "Confirm."}"""
    with open(RUNBOOKS, encoding='utf-8') as file:
        found = re.findall(r'^## (TCPHealth\w+)\n.*?\*\*Confirm\.\*\*(.*?)\*\*Fix\.\*\*', file.read(), re.MULTILINE | re.DOTALL)
    return {name: [line for line in re.findall(r'^    (\S.*)$', confirm, re.MULTILINE) if not ELSEWHERE.search(line)]
            for name, confirm in found}


def wanted(command, port):
    """What the output has to match: the socket, a number that is not 0, or anything."""
    if re.search(r'wc -l|grep -c', command):
        return r'^[1-9]'
    if 'uniq -c' in command:
        return r'\d ESTAB'
    if command.startswith('ss ') or '/api/' in command:
        return rf'{port}\b'
    return r'\S'


class RunbooksTest(unittest.TestCase):
    """A test a case, on two hosts that they share."""

    @classmethod
    def setUpClass(cls):
        if not netns.is_usable():
            raise unittest.SkipTest('needs root: it makes network namespaces')
        cls.commands = sections()
        cls.pair = cls.enterClassContext(netns.Pair())
        cls.exporters = [cls.enterClassContext(exporter.Exporter(host, *thresholds('1s', probes=1))) for host in (cls.pair.a, cls.pair.b)]

    def play(self, alert, recipe, some):
        commands = [command for command in self.commands[alert] if some in command]
        self.assertTrue(commands)
        with recipe(self.pair) as scene:
            for command in commands:
                self.run_on(scene.host or self.pair.a, command, scene.port)

    def run_on(self, host, command, port):
        """As the runbook tells its reader: with the port of the alert, and sport on the server's side."""
        side = 'sport' if host is self.pair.b else 'dport'
        command = re.sub(r'[sd]port = :\d+', f'{side} = :{port}', command)
        command = re.sub(r'\bport=("?)\d+', rf'port=\g<1>{port}', command)
        printed = ''

        def look():
            nonlocal printed
            # A dump walks the table of the whole machine, which others may have filled.
            done = subprocess.run(host.argv('bash', '-o', 'pipefail', '-c', command), stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=60, check=False)
            printed = done.stdout + done.stderr
            return not done.stderr and re.search(wanted(command, port), printed, re.MULTILINE)

        # The exporter answers one question about connections a second.
        eventually(look, timeout=exporter.patience(15), interval=1.2 if '/api/' in command else 0.3,
                   what=lambda: f'{command}\nprinted: {printed}')

    def test_dead(self):
        """What no dump shows, the exporter has to have seen alive."""
        with scenes.established(self.pair) as scene:
            self.exporters[1].wait_value(1, 'tcphealth_connections', role='server', port=scene.port, state='established')
            scene.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
            scene.client.close()
            [command] = [command for command in self.commands[DEAD] if 'curl' in command]
            self.run_on(self.pair.b, command, scene.port)

    def test_exporter(self):
        for alert in EXPORTER:
            for command in self.commands[alert]:
                with self.subTest(alert=alert, command=command):
                    self.run_on(self.pair.a, command, exporter.PORT)

    def test_each_alert_is_played(self):
        played = {alert for alert, _, _ in CASES} | {DEAD, *EXPORTER}
        # Nothing to run for these: one is about another host, one about Prometheus.
        self.assertEqual(set(self.commands) - played, {'TCPHealthConnectsRefused', 'TCPHealthExporterMissing'})


def _add(alert, recipe, some):
    setattr(RunbooksTest, f'test_{alert}_{recipe.__name__}', lambda self: self.play(alert, recipe, some))


for _case in CASES:
    _add(*_case)

if __name__ == '__main__':
    unittest.main()
