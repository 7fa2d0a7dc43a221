"""The example of a hook that restarts units: what it does, and what it refuses."""
import json
import os
import re
import socket
import stat
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

from tcph import exporter, netns
from tcph.poll import eventually

HOOK = os.path.join(exporter.ROOT, 'deploy/remedy/tcphealth_remedy')
UNIT_FILE = os.path.join(exporter.ROOT, 'deploy/remedy/tcphealth_remedy.service')
HOST = 'b.example:10793'
LOAD = 'load@35111.service'

# Notes each call on a line, arguments separated by "|".
SYSTEMCTL = '''#!/bin/sh
IFS='|'
echo "$*" >>"$0.calls"
exit "$(cat "$0.status" 2>/dev/null || echo 0)"
'''


def alert(unit=LOAD, status='firing', name='TCPHealthCloseWaitStale', instance=HOST, **labels):
    return {'status': status, 'labels': {'alertname': name, 'instance': instance, **labels},
            'annotations': {'summary': 'x', **({} if unit is None else {'restart': unit})},
            'startsAt': '2024-01-01T00:00:00Z', 'endsAt': '0001-01-01T00:00:00Z', 'generatorURL': '', 'fingerprint': 'f'}


def message(*alerts, **changed):
    return {'version': '4', 'status': 'firing', 'receiver': 'remedy', 'groupKey': 'k', 'groupLabels': {},
            'commonLabels': {}, 'commonAnnotations': {}, 'externalURL': '', 'truncatedAlerts': 0,
            'alerts': list(alerts), **changed}


class Hook:
    """The running program; `calls()` is what its systemctl was asked for."""

    def __init__(self, directory, *args):
        self.systemctl = os.path.join(directory, 'systemctl')
        with open(self.systemctl, 'w', encoding='ascii') as file:
            file.write(SYSTEMCTL)
        os.chmod(self.systemctl, stat.S_IRWXU)
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [HOOK, '--listen=127.0.0.1:0', f'--instance={HOST}', f'--systemctl={self.systemctl}', *args],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            self.port = int(eventually(self._told_port, what=self.text))
        except BaseException:
            self.stop()
            raise

    def _told_port(self):
        found = re.search(r'msg="listening".* port=(\d+)', self.text())
        return found and found[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        netns.kill(self.process)
        self.log.close()

    def text(self):
        self.log.seek(0)
        return self.log.read().decode()

    def verdicts(self):
        """What it said about alerts, in order: the message, or why it did nothing."""
        return [why or said for said, why in
                re.findall(r'msg="([^"]*)" alert=.*?(?: why="([^"]*)")?$', self.text(), re.MULTILINE)]

    def calls(self):
        try:
            with open(self.systemctl + '.calls', encoding='utf-8') as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def post(self, body, **headers):
        """The status of the answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f'http://127.0.0.1:{self.port}/', data, headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code


class RemedyTest(unittest.TestCase):
    def setUp(self):
        self.directory = self.enterContext(tempfile.TemporaryDirectory(prefix='tcph-remedy-'))

    def hook(self, *args):
        return self.enterContext(Hook(self.directory, *args))

    def test_restarts_what_it_may(self):
        hook = self.hook('--act', '--allow=load@*.service')
        self.assertEqual(hook.post(message(alert())), 200)
        self.assertEqual(hook.calls(), [f'--no-block|restart|--|{LOAD}'])
        self.assertEqual(hook.verdicts(), ['restarted'])

    def test_restarts_a_service_with_an_escaped_name(self):
        hook = self.hook('--act', r'--allow=my\x2dapp*.service')
        self.assertEqual(hook.post(message(alert(r'my\x2dapp\x2d1.service'))), 200)
        self.assertEqual(hook.calls(), [r'--no-block|restart|--|my\x2dapp\x2d1.service'])

    def test_is_a_dry_run_by_default(self):
        hook = self.hook('--allow=load@*.service')
        for _ in range(2):
            self.assertEqual(hook.post(message(alert())), 200)
        self.assertEqual(hook.verdicts(), ['would restart (dry run)', 'in cool-down'])
        self.assertEqual(hook.calls(), [])

    def test_allows_nothing_by_default(self):
        hook = self.hook('--act')
        self.assertEqual(hook.post(message(alert())), 200)
        self.assertEqual((hook.verdicts(), hook.calls()), (['not allowed'], []))

    def test_what_it_refuses(self):
        hook = self.hook('--act', '--allow=load@*.service')
        plain = 'not the plain name of a service'
        cases = [
            (alert(status='resolved'), 'resolved'),
            (alert(name='TCPHealthFinWait2Held'), 'not an alert that a restart fixes'),
            (alert(instance='a.example:10793'), 'another host'),
            (alert(unit=None), 'no unit named'),
            (alert(unit=''), 'no unit named'),
            (alert(unit='other.service'), 'not allowed'),
            (alert(unit='xload@1.service'), 'not allowed'),
            *((alert(unit=unit), plain) for unit in (
                '--force', '-H root@elsewhere.service', 'load@1.service;reboot', 'load@$(reboot).service',
                'load@1.service\nsshd.service', 'load@1.service other.service', 'load@../../x.service',
                'load@\u0661.service', 'load@1.socket', 'load@' + 'x' * 300 + '.service', '\x1b[31m.service', 'load@.service',
                'machine:web1/load@1.service', 'machine:load@1.service', 'docker:0123456789ab/load@1.service',
                '/boxes/load@1.service', 'user@1000.service')),
        ]
        self.assertEqual(hook.post(message(*(case for case, _ in cases))), 200)
        self.assertEqual(hook.verdicts(), [why for _, why in cases])
        self.assertEqual(hook.calls(), [])
        self.assertNotIn('\x1b', hook.text())

    def test_malformed_messages_are_refused_as_a_whole(self):
        hook = self.hook('--act', '--allow=load@*.service')
        good = alert()
        bad = [b'', b'{', b'[]', b'null', b'\xff', b'[' * 100000, message(good, version='3'), message(good, status='odd'),
               message(good, alerts={}), message(good, None), message(good, {**good, 'labels': {'port': 1}}),
               message(good, {**good, 'annotations': None}), message(good, {**good, 'status': 1}),
               message(*[good] * 1001)]
        self.assertEqual([hook.post(body) for body in bad], [400] * len(bad))
        self.assertEqual(hook.calls(), [])
        self.assertEqual(hook.post(message(good)), 200)
        self.assertEqual(len(hook.calls()), 1)

    def test_requests_that_are_none(self):
        hook = self.hook('--act')
        for request, status in ((b'GET / HTTP/1.1\r\n\r\n', b' 501 '), (b'POST / HTTP/1.1\r\n\r\n', b' 411 '),
                                (b'POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n', b' 411 '),
                                (b'POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n', b' 413 '),
                                (b'POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', b' 411 ')):
            with self.subTest(request=request), socket.create_connection(('127.0.0.1', hook.port), timeout=5) as client:
                client.sendall(request)
                self.assertIn(status, client.recv(4096))

    def test_cool_down_and_limit(self):
        hook = self.hook('--act', '--allow=load@*.service', '--cool-down=1s', '--limit=2')
        hook.post(message(alert(), alert()))
        self.assertEqual(hook.verdicts(), ['restarted', 'in cool-down'])

        def restarted_again():
            hook.post(message(alert()))
            return len(hook.calls()) == 2

        eventually(restarted_again, interval=0.2, what='a second restart, after the cool-down')
        hook.post(message(alert('load@2.service')))
        self.assertEqual(hook.verdicts()[-1], 'too many restarts in the last hour')
        self.assertEqual(hook.calls(), [f'--no-block|restart|--|{LOAD}'] * 2)

    def test_remembers_across_its_own_restart(self):
        state = os.path.join(self.directory, 'state.json')
        for verdict in ('restarted', 'in cool-down'):
            with Hook(self.directory, '--act', '--allow=load@*.service', f'--state={state}') as hook:
                hook.post(message(alert()))
                self.assertEqual(hook.verdicts(), [verdict])
        self.assertEqual(len(hook.calls()), 1)

    def test_does_nothing_that_it_cannot_remember(self):
        hook = self.hook('--act', '--allow=load@*.service', '--state=/nonexistent/state.json')
        self.assertEqual(hook.post(message(alert())), 200)
        self.assertEqual((hook.verdicts(), hook.calls()), (['restart failed'], []))

    def test_a_restart_that_fails_is_not_tried_again_at_once(self):
        hook = self.hook('--act', '--allow=load@*.service')
        with open(hook.systemctl + '.status', 'w', encoding='ascii') as file:
            file.write('5')
        hook.post(message(alert(), alert()))
        self.assertEqual(hook.verdicts(), ['restart failed', 'in cool-down'])

    def test_token(self):
        path = os.path.join(self.directory, 'token')
        with open(path, 'w', encoding='ascii') as file:
            file.write('0123456789abcdef\n')
        hook = self.hook('--act', '--allow=load@*.service', f'--token-file={path}')
        self.assertEqual(hook.post(message(alert())), 401)
        self.assertEqual(hook.post(message(alert()), Authorization='Bearer 0123456789abcdeF'), 401)
        self.assertEqual(hook.calls(), [])
        self.assertEqual(hook.post(message(alert()), Authorization='Bearer 0123456789abcdef'), 200)
        self.assertEqual(len(hook.calls()), 1)

    def test_does_not_start_with_what_would_be_unsafe(self):
        state = os.path.join(self.directory, 'state.json')
        with open(state, 'w', encoding='ascii') as file:
            file.write('{}')
        for args, status in ((['--allow=*'], 2), (['--allow=*.service'], 2), (['--allow=a b.service'], 2),
                             (['--listen=0.0.0.0:0'], 2), (['--listen=localhost:0'], 2), (['--cool-down=soon'], 2),
                             ([f'--state={state}'], 1), (['--token-file=/dev/null'], 1)):
            with self.subTest(args=args):
                done = subprocess.run([HOOK, '--listen=127.0.0.1:0', f'--instance={HOST}', *args], stdin=subprocess.DEVNULL,
                                      capture_output=True, timeout=10, check=False)
                self.assertEqual(done.returncode, status, done.stderr)

    def test_systemd_understands_the_unit(self):
        with open(UNIT_FILE, encoding='utf-8') as file:
            text = file.read().replace('/usr/local/libexec/tcphealth_remedy', HOOK)
        copy = os.path.join(self.directory, os.path.basename(UNIT_FILE))
        with open(copy, 'w', encoding='utf-8') as file:
            file.write(text)
        try:
            done = subprocess.run(['systemd-analyze', 'verify', '--man=no', copy], capture_output=True, text=True,
                                  timeout=30, check=False)
        except FileNotFoundError:
            self.skipTest('needs systemd-analyze')
        self.assertEqual((done.returncode, done.stderr), (0, ''))


if __name__ == '__main__':
    unittest.main()
