"""The JSON under /api/v1: its content, who gets it, how often, and how much."""
import contextlib
import glob
import os
import re
import subprocess
import tempfile
import threading
import time
import unittest

from tcph import exporter, scenes, web
from tcph.case import NetTest
from tcph.poll import eventually
from tcph.reasons import REASONS

PATH = '/api/v1/connections'
STALE = '--stale.close-wait=200ms'


class ApiTest(NetTest):
    def ask(self, program, words='', path=PATH):
        """The answer to a question; as questions may be asked once a second, until it is taken."""
        def look():
            response = program.request(f'{path}?{words}')
            self.assertIn(response.status, (200, 429, 503), response.body)
            return response.status == 200 and response

        response = eventually(look, timeout=exporter.patience(10), interval=0.1, what=program.log_tail)
        self.assertEqual(response.headers['Content-Type'], 'application/json; charset=utf-8')
        return response.json()

    def several(self):
        """Connections of three ports in three states, at b."""
        return {name: self.scene(getattr(scenes, name)) for name in ('close_wait', 'established', 'syn_recv')}


class ConnectionsTest(ApiTest):
    def test_all_there_is_to_know_of_a_connection(self):
        program = self.start_exporter(self.b, '--stale.unread=200ms')
        scene = self.scene(scenes.close_wait, unread=10)
        program.wait_value(1, 'tcphealth_stale_connections', role='server', port=scene.port, reason='unread')
        answer = self.ask(program, f'port={scene.port}')
        self.assertEqual((answer['source'], answer['matched'], answer['truncated']), ('netlink', 1, False))
        (row,) = answer['connections']
        record = scene.record
        self.assertEqual((row['role'], row['port'], row['state'], row['reason'], row['blame']),
                         ('server', scene.port, 'close_wait', 'unread', 'program'))
        self.assertEqual(row['local'], {'address': record.local, 'port': record.local_port})
        self.assertEqual(row['remote'], {'address': record.remote, 'port': record.remote_port})
        # The end of the stream is no byte that a program can read.
        self.assertEqual((row['receive_queue_bytes'], row['send_queue_bytes']), (10, 0))
        self.assertEqual(program.page().value('tcphealth_receive_queue_bytes', role='server', port=scene.port), 10)
        self.assertEqual((row['retransmitted_segments'], row['uid'], row['unit']), (0, 0, ''))
        self.assertEqual((row['timer']['name'], row['timer']['expires_seconds']), ('none', 0))
        for age in ('state_age_seconds', 'stale_seconds'):
            self.assertGreaterEqual(row[age], 0.2)
            self.assertLess(row[age], 60)

    def test_by_keepalive(self):
        program = self.start_exporter(self.a)
        scene = self.scene(scenes.established, keepalive=(100, 10, 3))
        plain = self.scene(scenes.established)
        self.scene(scenes.close_wait)
        for value, ports in (('on', [scene.port]), ('off', [plain.port]), ('unknown', [])):
            rows = self.ask(program, f'role=client&keepalive={value}')['connections']
            self.assertEqual([(row['port'], row['keepalive']) for row in rows if row['port'] != program.port],
                             [(port, value) for port in ports])

    def test_other_namespaces(self):
        program = self.start_exporter(self.a, f'--collector.netns=tcph-{os.getpid()}-*')
        scene = self.scene(scenes.close_wait)
        program.wait_value(1, 'tcphealth_connections', netns=self.b.name, role='server', port=scene.port,
                           state='close_wait', timeout=exporter.patience(10))
        rows = self.ask(program, f'port={scene.port}')['connections']
        self.assertEqual({(row.get('netns'), row['role'], row['state']) for row in rows},
                         {(None, 'client', 'fin_wait2'), (self.b.name, 'server', 'close_wait')})
        for words, role in ((self.b.name, 'server'), ('', 'client')):
            for path, key in ((PATH, 'connections'), ('/api/v1/ports', 'ports')):
                rows = self.ask(program, f'port={scene.port}&netns={words}', path)[key]
                self.assertEqual([row['role'] for row in rows], [role])
        time.sleep(1)  # one question a second
        self.assertEqual(program.request(f'{PATH}?netns=no-such').status, 404)
        page = program.request('/').body.decode()
        self.assertIn(f'connections?port={scene.port}&amp;role=server&amp;netns={self.b.name}"', page)

    def test_timers(self):
        program = self.start_exporter(self.b)
        keepalive = self.scene(scenes.established, keepalive=(100, 10, 3))
        (row,) = self.ask(program, f'port={keepalive.port}')['connections']
        self.assertEqual(row['timer']['name'], 'keepalive')
        self.assertLess(abs(row['timer']['expires_seconds'] - 100), 10)
        self.assertEqual(row['reason'], None)
        retransmit = self.scene(scenes.half_open_unacked)
        (row,) = self.ask(program, f'port={retransmit.port}')['connections']
        self.assertEqual((row['timer']['name'], row['send_queue_bytes']), ('retransmit', 100))

    def test_ipv6(self):
        program = self.start_exporter(self.b)
        scene = self.scene(scenes.close_wait, family=6)
        (row,) = self.ask(program, f'port={scene.port}')['connections']
        self.assertEqual((row['local']['address'], row['remote']['address']), (self.b.address[6], self.a.address[6]))

    def test_client_end(self):
        program = self.start_exporter(self.a)
        scene = self.scene(scenes.close_wait)
        scene.see(self.a, 'FIN-WAIT-2')
        (row,) = self.ask(program, f'port={scene.port}')['connections']
        self.assertEqual((row['role'], row['state'], row['remote']['port']), ('client', 'fin_wait2', scene.port))

    def test_both_ends_on_one_host(self):
        """A loopback connection is two sockets of one port, each listed once, whether netlink or /proc is asked."""
        listener = self.enterContext(self.b.socket())
        listener.bind(('127.0.0.1', 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        client = self.enterContext(self.b.socket())
        client.connect(('127.0.0.1', port))
        self.enterContext(listener.accept()[0])
        for number, source in enumerate(('netlink', 'procfs')):
            with self.subTest(source=source):
                program = self.start_exporter(self.b, f'--collector.source={source}', port=exporter.PORT + number)
                answer = self.ask(program, f'port={port}')
                self.assertEqual(answer['source'], source)
                self.assertEqual(sorted(row['role'] for row in answer['connections']), ['client', 'server'])

    def test_filters(self):
        program = self.start_exporter(self.b, STALE)
        found = self.several()
        program.wait_for(lambda page: page.sum('tcphealth_stale_connections') == 1)
        close_wait, established, syn_recv = (found[name].port for name in found)
        for words, ports in ((f'port={established}', {established}), ('state=close_wait', {close_wait}),
                             ('state=syn_recv&role=server', {syn_recv}), ('reason=any', {close_wait}),
                             ('reason=syn_sent', set()), (f'port={established}&role=client', set())):
            with self.subTest(words=words):
                answer = self.ask(program, words)
                have = {row['port'] for row in answer['connections']} - {exporter.PORT}
                self.assertEqual((have, answer['truncated']), (ports, False))

    def test_limit_always(self):
        program = self.start_exporter(self.b, STALE)
        first = self.scene(scenes.close_wait)
        for _ in range(4):
            self.scene(scenes.close_wait, listener=first.listener)
        program.wait_value(5, 'tcphealth_stale_connections', role='server', port=first.port, reason='close_wait')
        answer = self.ask(program, f'port={first.port}&limit=2')
        self.assertEqual((answer['matched'], answer['limit'], answer['truncated']), (5, 2, True))
        ages = [row['stale_seconds'] for row in answer['connections']]
        self.assertEqual((len(ages), ages), (2, sorted(ages, reverse=True)))
        # Of connections that got stuck at the same moment, each may be told as the longest.
        shown = [row['remote'] for row in answer['connections']]
        now = self.ask(program, f'port={first.port}')['connections']
        least = min(row['stale_seconds'] for row in now if row['remote'] in shown)
        self.assertGreaterEqual(least, max(row['stale_seconds'] for row in now if row['remote'] not in shown) - 0.1)
        self.assertEqual(self.ask(program)['limit'], 100)

    def test_bad_questions(self):
        program = self.start_exporter(self.b)
        for words, said in (('port=0', 'port'), ('port=65536', 'port'), ('port=http', 'port'), ('port=', 'port'),
                            ('role=listener', 'server or client'), ('state=listen', 'close_wait'),
                            ('state=CLOSE_WAIT', 'close_wait'), ('reason=old', 'zero_window'), ('limit=0', '1000'),
                            ('limit=1001', '1000'), ('limit=-1', '1000'), ('holders=yes', 'holders'), ('port', 'port')):
            with self.subTest(words=words):
                response = program.request(f'{PATH}?{words}')
                self.assertEqual(response.status, 400)
                self.assertIn(said, response.json()['error'])

    def test_kernel_filters_by_port_and_state(self):
        """A question costs its answer: of 300 other connections none is copied out of the kernel."""
        program = self.start_exporter(self.b, '--collector.interval=1h')
        listener = self.enterContext(self.b.socket())
        listener.bind((self.b.address[4], 9000))
        listener.listen(1024)
        ends = [self.enterContext(self.a.socket()) for _ in range(300)]
        for end in ends:
            end.connect((self.b.address[4], 9000))
        scene = self.scene(scenes.close_wait)
        everything = self.received_for(program, '')
        self.assertGreater(everything, 300 * 100)
        for words in (f'port={scene.port}', 'state=close_wait'):
            with self.subTest(words=words):
                self.assertLess(self.received_for(program, words), everything / 10)

    def received_for(self, program, words):
        """Bytes that the exporter receives from netlink to answer a question, as strace sees it."""
        with tempfile.NamedTemporaryFile('r') as log, self.traced(program, log.name, 'recvfrom'):
            self.ask(program, words)
            lines = log.read().splitlines()
        return sum(int(found[1]) for found in map(re.compile(r'AF_NETLINK.*= (\d+)$').search, lines) if found)

    @contextlib.contextmanager
    def traced(self, program, log, calls):
        tracer = subprocess.Popen(['strace', '-f', '-qq', '-o', log, '-e', f'trace={calls}', '-p',
                                   str(program.process.pid)], stderr=subprocess.DEVNULL)
        try:
            eventually(lambda: all(self.is_traced(task) for task in glob.glob(f'/proc/{program.process.pid}/task/*')),
                       what='strace')
            yield
        finally:
            tracer.terminate()
            tracer.wait()

    @staticmethod
    def is_traced(task):
        with open(task + '/status', encoding='ascii', errors='replace') as file:
            return 'TracerPid:\t0\n' not in file.read()

    def test_fresh_dump(self):
        """What came since the last sample is in the answer."""
        program = self.start_exporter(self.b, '--collector.interval=1h')
        scene = self.scene(scenes.close_wait)
        (row,) = self.ask(program, f'port={scene.port}')['connections']
        self.assertEqual(row['state'], 'close_wait')

    def test_procfs_answers_too(self):
        program = self.start_exporter(self.b, '--collector.source=procfs')
        found = self.several()
        answer = self.ask(program, f'port={found["close_wait"].port}&holders=1')
        self.assertEqual((answer['source'], answer['matched']), ('procfs', 1))
        (row,) = answer['connections']
        self.assertEqual(row['state'], 'close_wait')
        self.assertNotIn('retransmitted_segments', row)
        self.assertEqual(len(row['holders']), 1)


class HowOftenTest(ApiTest):
    def test_once_a_second(self):
        program = self.start_exporter(self.b)
        first, second = program.request(PATH), program.request(PATH)
        self.assertEqual((first.status, second.status), (200, 429))
        self.assertEqual(second.headers['Retry-After'], '1')
        self.assertIn('second', second.json()['error'])
        self.ask(program)

    def test_many_at_once(self):
        """Of many that ask together one is answered, and the scrape is not held up."""
        program = self.start_exporter(self.b)
        self.ask(program)
        eventually(lambda: program.request(PATH).status == 200, interval=0.1)
        statuses = []
        threads = [threading.Thread(target=lambda: statuses.append(program.request(PATH + '?holders=1').status))
                   for _ in range(12)]
        for thread in threads:
            thread.start()
        program.page()
        for thread in threads:
            thread.join()
        self.assertEqual(len(statuses), 12)
        self.assertLessEqual(statuses.count(200), 2)
        self.assertEqual(set(statuses) - {200, 429}, set())

    def test_bad_and_forbidden_questions_use_up_nothing(self):
        program = self.start_exporter(self.b)
        self.assertEqual(program.request(PATH + '?port=no').status, 400)
        self.assertEqual(program.request(PATH, headers={'Forwarded': 'for=1.2.3.4'}).status, 403)
        self.assertEqual(program.request(PATH).status, 200)


class WhoMayAskTest(ApiTest):
    def statuses(self, program, *headers, host=None, address='127.0.0.1'):
        """The status for each set of headers; 429 is as good as 200: the answer was not refused."""
        found = []
        for pairs in headers:
            response = web.request(host or self.b, program.port, PATH, headers=pairs, address=address)
            found.append(200 if response.status == 429 else response.status)
        return found

    def test_loopback_and_what_is_as_good(self):
        program = self.start_exporter(self.b, '--web.listen-address=:10793')
        names = ('localhost', 'LocalHost:10793', '127.0.0.1', '127.0.0.1:10793', '127.9.9.9', '[::1]:10793', '[::1]',
                 self.b.address[4], f'{self.b.address[4]}:80', f'[{self.b.address[6]}]:10793')
        self.assertEqual(self.statuses(program, *({'Host': name} for name in names)), [200] * len(names))
        self.assertEqual(self.statuses(program, {}, address='::1'), [200])

    def test_rebound_names_and_proxies_are_refused(self):
        program = self.start_exporter(self.b, '--web.listen-address=:10793')
        names = ('evil.example', 'evil.example:10793', 'localhost.evil.example', '127.0.0.1.evil.example', '0.0.0.0',
                 '192.0.2.1', '[2001:db8::1]', '[::1', '127.0.0.1:80x', '', self.a.address[4])
        self.assertEqual(self.statuses(program, *({'Host': name} for name in names)), [403] * len(names))
        proxied = ({'Forwarded': 'for=127.0.0.1'}, {'X-Forwarded-For': '127.0.0.1'}, {'x-forwarded-host': 'localhost'},
                   {'X-FORWARDED-PROTO': 'https'}, {'X-Forwarded-For': ''})
        self.assertEqual(self.statuses(program, *proxied), [403] * len(proxied))

    def test_no_host_and_one_host_too_many_are_refused(self):
        program = self.start_exporter(self.b)
        for hosts in ((), ('evil.example', '127.0.0.1'), ('127.0.0.1', 'evil.example')):
            with self.subTest(hosts=hosts):
                self.assertNotIn(self.raw_status(program, hosts), (200, 429))

    def raw_status(self, program, hosts):
        with self.b.socket() as client:
            client.settimeout(5)
            client.connect(('127.0.0.1', program.port))
            lines = [f'GET {PATH} HTTP/1.1', *(f'Host: {host}' for host in hosts), 'Connection: close', '', '']
            client.sendall('\r\n'.join(lines).encode())
            return int(client.makefile('rb').readline().split()[1])

    def test_peers_elsewhere_are_refused(self):
        program = self.start_exporter(self.b, '--web.listen-address=:10793')
        for family in (4, 6):
            address = self.b.address[family]
            self.assertEqual(self.statuses(program, {}, {'Host': 'localhost'}, host=self.a, address=address),
                             [403, 403])
            # Its own address, but not loopback: what came over the network cannot be told from it.
            self.assertEqual(self.statuses(program, {}, host=self.b, address=address), [403])
        self.assertEqual(web.request(self.a, 10793, '/metrics', address=self.b.address[4]).status, 200)
        self.assertIn('--web.connections', web.request(self.a, 10793, PATH, address=self.b.address[4]).json()['error'])

    def test_all(self):
        program = self.start_exporter(self.b, '--web.listen-address=:10793', '--web.connections=all')
        self.assertEqual(self.statuses(program, {}, {'Host': 'evil.example'}, {'Forwarded': 'for=1'}, host=self.a,
                                       address=self.b.address[4]), [200] * 3)

    def test_none(self):
        program = self.start_exporter(self.b, '--web.connections=none')
        self.assertEqual(self.statuses(program, {}), [403])
        self.assertNotIn(b'api/v1/connections', program.request('/').body)


class PortsTest(ApiTest):
    def test_what_the_metrics_say(self):
        program = self.start_exporter(self.b, STALE)
        scene = self.scene(scenes.close_wait)
        page = program.wait_value(1, 'tcphealth_stale_connections', role='server', port=scene.port, reason='close_wait')
        (port,) = self.ask(program, f'port={scene.port}', '/api/v1/ports')['ports']
        for state, count in port['connections'].items():
            self.assertEqual(count, page.value('tcphealth_connections', role='server', port=scene.port, state=state))
        for reason, count in port['stale'].items():
            self.assertEqual(count, page.value('tcphealth_stale_connections', role='server', port=scene.port,
                                               reason=reason))
        self.assertEqual((len(port['connections']), len(port['stale'])), (10, len(REASONS)))
        self.assertEqual((port['listeners'], port['listen_queue_limit'], port['role']), (1, 16, 'server'))

    def test_filters_and_limit(self):
        program = self.start_exporter(self.b, STALE)
        found = self.several()
        program.wait_for(lambda page: page.sum('tcphealth_stale_connections') == 1)
        close_wait, established, syn_recv = (found[name].port for name in found)
        for words, ports in ((f'port={established}', {established}), ('reason=any', {close_wait}),
                             ('role=client', set()),
                             ('state=syn_recv', {syn_recv}), ('state=close_wait&reason=close_wait', {close_wait})):
            with self.subTest(words=words):
                answer = self.ask(program, words, '/api/v1/ports')
                self.assertEqual({port['port'] for port in answer['ports']} - {exporter.PORT, 'unknown'}, ports)
        answer = self.ask(program, 'limit=1', '/api/v1/ports')
        self.assertEqual((len(answer['ports']), answer['truncated']), (1, True))
        self.assertGreaterEqual(answer['matched'], 3)

    def test_what_procfs_cannot_know_is_absent(self):
        program = self.start_exporter(self.b, '--collector.source=procfs')
        scene = self.scene(scenes.close_wait)
        program.wait_value(1, 'tcphealth_connections', role='server', port=scene.port, state='close_wait')
        (port,) = self.ask(program, f'port={scene.port}', '/api/v1/ports')['ports']
        self.assertEqual(set(port['stale']),
                         {'unaccepted', 'retransmit', 'eof_unread', 'close_wait', 'fin_wait2', 'closing', 'syn_sent', 'keepalive'})
        for name in ('longest_silence_seconds', 'sent_bytes_total', 'listen_queue_limit'):
            self.assertNotIn(name, port)


if __name__ == '__main__':
    unittest.main()
