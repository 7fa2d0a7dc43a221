"""Users and passwords, headers and rate limit of --web.config.file, and reloading them without a restart."""
import base64
import concurrent.futures
import contextlib
import http.client
import math
import os
import re
import signal
import tempfile
import threading
import time

from tcph import expo, exporter, https, web
from tcph.case import NetTest
from tcph.https import basic, bcrypt
from tcph.poll import eventually


def costly(cost):
    """A hash that nobody knows a password for."""
    return bcrypt('secret').replace('$04$', f'${cost}$')


def memory_of(pid):
    """All that a process has written or may write."""
    found = []
    with open(f'/proc/{pid}/maps', encoding='utf-8') as maps, open(f'/proc/{pid}/mem', 'rb', buffering=0) as memory:
        for line in maps:
            begin, end, rights = re.match(r'([0-9a-f]+)-([0-9a-f]+) (\S+)', line).groups()
            if 'w' in rights:
                memory.seek(int(begin, 16))
                found.append(memory.read(int(end, 16) - int(begin, 16)))
    return b''.join(found)


def cost_of(seconds):
    """The cost of a hash that takes about so long here and now; on a busy machine a fixed one may outlast the request's 10 s."""
    begun = time.monotonic()
    bcrypt('secret', 9)
    return max(10, min(16, 9 + round(math.log2(seconds / (time.monotonic() - begun)))))


class AuthTest(NetTest):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), 'web.yml')

    def write(self, text):
        with open(self.path + '.new', 'w', encoding='utf-8') as file:
            file.write(text)
        os.rename(self.path + '.new', self.path)

    def write_users(self, **users):
        self.write('basic_auth_users:\n' + ''.join(f'  {name}: "{stored}"\n' for name, stored in users.items()))

    def start(self):
        program = self.start_exporter(self.b, f'--web.config.file={self.path}', ready=False)
        eventually(lambda: 'msg=listening' in program.log_text(), timeout=exporter.patience(10), what=program.log_tail)
        return program

    def start_with_users(self, **users):
        self.write_users(**users)
        return self.start()

    def status(self, program, headers=None, path='/-/healthy', timeout=None):
        return program.request(path, headers=headers, timeout=timeout or exporter.patience(10)).status

    # Passwords.

    def test_who_is_let_in(self):
        program = self.start_with_users(alice=bcrypt('secret'), bob=bcrypt('pässword: with colon'))
        cases = (
            (basic('alice', 'secret'), 200), (basic('bob', 'pässword: with colon'), 200),
            ({}, 401), (basic('alice', 'Secret'), 401), (basic('alice', ''), 401), (basic('alice', 'secret '), 401),
            (basic('carol', 'secret'), 401), (basic('', 'secret'), 401), (basic('Alice', 'secret'), 401),
            (basic('bob', 'secret'), 401), (basic('alice', 'secret\0'), 401), (basic('alice\0', 'secret'), 401),
            (basic('alice', 'secret' + 'x' * 5000), 401),
            ({'Authorization': 'Bearer secret'}, 401), ({'Authorization': 'Basic'}, 401), ({'Authorization': 'Basic !'}, 401),
            ({'Authorization': basic('alice', 'secret')['Authorization'].rstrip('=') + '!'}, 401),
            ({'Authorization': 'Basic ' + base64.b64encode(b'alicesecret').decode()}, 401),
            ({'Authorization': basic('alice', 'secret')['Authorization'].replace('Basic', 'bASIC')}, 200),
        )
        for headers, want in cases:
            with self.subTest(headers=headers):
                self.assertEqual(self.status(program, headers), want)

    def test_every_path_is_protected(self):
        program = self.start_with_users(alice=bcrypt('secret'))
        for path in ('/metrics', '/', '/-/healthy', '/-/ready', '/api/v1/ports', '/nowhere'):
            response = program.request(path)
            self.assertEqual(response.status, 401, path)
            self.assertRegex(response.headers['WWW-Authenticate'], '^Basic realm=')
            self.assertNotIn(b'tcphealth_', response.body)
        self.assertEqual(self.status(program, basic('alice', 'secret'), '/nowhere'), 404)

    def test_stored_hashes_of_any_bcrypt_program(self):
        stored = bcrypt('secret')
        program = self.start_with_users(a=stored.replace('$2b', '$2a'), y=stored.replace('$2b', '$2y'), long=stored + 'garbage',
                                        broken='$2b$04$' + '!' * 53)
        for name in ('a', 'y', 'long'):
            self.assertEqual(self.status(program, basic(name, 'secret')), 200, name)
        self.assertEqual(self.status(program, basic('broken', 'secret')), 401)

    def test_72_bytes_of_a_password_count(self):
        program = self.start_with_users(alice=bcrypt('x' * 72))
        self.assertEqual(self.status(program, basic('alice', 'x' * 71)), 401)
        self.assertEqual(self.status(program, basic('alice', 'x' * 72)), 200)
        self.assertEqual(self.status(program, basic('alice', 'x' * 72 + 'y')), 200)
        self.assertEqual(self.status(program, basic('alice', 'x' * 71 + 'y')), 401)

    def timed(self, program, headers):
        begun = time.monotonic()
        status = self.status(program, headers)
        return status, time.monotonic() - begun

    def test_what_was_right_is_remembered_and_what_was_wrong_is_not(self):
        program = self.start_with_users(alice=bcrypt('secret', 12))
        status, first = self.timed(program, basic('alice', 'secret'))
        self.assertEqual(status, 200)
        again = min(self.timed(program, basic('alice', 'secret')) for _ in range(3))
        self.assertEqual(again[0], 200)
        self.assertLess(again[1], first / 4)
        wrong = [self.timed(program, basic('alice', 'wrong')) for _ in range(2)]
        unknown = [self.timed(program, basic('nobody', 'secret')) for _ in range(2)]
        for status, seconds in wrong + unknown:
            self.assertEqual(status, 401)
            self.assertGreater(seconds, first / 4)

    def insist(self, program, headers):
        """The status, once it is this request's turn to be checked."""
        def ask():
            status = self.status(program, headers, timeout=60)
            return None if status == 429 else status

        return eventually(ask, timeout=60)

    def test_one_password_at_a_time(self):
        program = self.start_with_users(slow=costly(cost_of(2)), quick=bcrypt('secret'))
        self.assertEqual(self.status(program, basic('quick', 'secret')), 200)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            busy = pool.submit(self.insist, program, basic('slow', 'secret'))
            self.wait_occupied(program)
            # Who is known, and who sends nothing, needs no turn.
            self.assertEqual(self.status(program, basic('quick', 'secret')), 200)
            self.assertEqual(self.status(program, {}), 401)
            self.assertFalse(busy.done())
            self.assertEqual(busy.result(), 401)
        self.assertEqual(self.status(program, basic('quick', 'wrong')), 401)

    def wait_occupied(self, program):
        """Until a guess from 127.0.0.1 is being computed: a second one is refused at once, and its connection ends."""
        def is_refused():
            response = program.request('/-/healthy', headers=basic('quick', 'wrong'), timeout=exporter.patience(10))
            if response.status == 429:
                self.assertEqual(response.headers['Connection'], 'close')
            return response.status == 429

        eventually(is_refused, timeout=exporter.patience(5), what=program.log_tail)

    def test_a_guesser_keeps_nobody_out(self):
        """A host guesses as fast as it can, on many connections; whoever knows the password is let in at the first attempt."""
        self.write_users(alice=bcrypt('secret', 11), **{f'user{number}': bcrypt('secret', 11) for number in range(20)})
        program = self.start_exporter(self.b, f'--web.config.file={self.path}',
                                      f'--web.listen-address=:{exporter.PORT}', ready=False)
        eventually(lambda: 'msg=listening' in program.log_text(), timeout=exporter.patience(10), what=program.log_tail)
        stop, refused = threading.Event(), []

        def guess():
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    refused.append(web.request(self.a, program.port, '/metrics', headers=basic('alice', 'guess'),
                                               address=self.b.address[4], timeout=10).status)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            guessers = [pool.submit(guess) for _ in range(8)]
            try:
                eventually(lambda: len(refused) > 100, timeout=exporter.patience(20), what='guesses')
                # Each is new to the exporter, and needs its turn.
                found = [self.status(program, basic(f'user{number}', 'secret')) for number in range(20)]
            finally:
                stop.set()
            for guesser in guessers:
                guesser.result()
        self.assertEqual(found, [200] * 20)
        self.assertLessEqual(set(refused), {401, 429})
        self.assertIn(429, refused)

    def test_no_password_stays_in_memory(self):
        program = self.start_with_users(alice=bcrypt('unmistakable'))
        right, wrong = basic('alice', 'unmistakable'), basic('alice', 'unmistakable but wrong')
        kept = http.client.HTTPConnection('127.0.0.1', program.port)
        self.addCleanup(kept.close)
        kept.sock = self.b.socket(4)
        kept.sock.connect(('127.0.0.1', program.port))
        for headers, want in ((right, 200), (wrong, 401), (right, 200)):
            self.assertEqual(self.status(program, headers), want)
            kept.request('GET', '/-/healthy', headers=right)
            response = kept.getresponse()
            response.read()
            self.assertEqual(response.status, 200)
        secrets = [b'unmistakable', *(headers['Authorization'].split()[1].encode() for headers in (right, wrong))]
        if not exporter.is_sanitized():  # which keeps freed memory
            # The connection is still open, and a thread may just be at its end.
            eventually(lambda: not any(secret in memory_of(program.process.pid) for secret in secrets),
                       timeout=5, what='a password in memory')
            self.assertIn(self.path.encode(), memory_of(program.process.pid))  # it was looked at where it matters

    def test_it_ends_at_once_while_a_password_is_checked(self):
        program = self.start_with_users(slow=costly(17), quick=bcrypt('secret'))
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            busy = pool.submit(self.insist, program, basic('slow', 'secret'))
            self.wait_occupied(program)
            program.stop()
            # Its connection broke with the process.
            with self.assertRaises((OSError, http.client.HTTPException, AssertionError)):
                busy.result()

    def test_guessing_is_logged_and_does_not_flood_the_log(self):
        program = self.start_with_users(alice=bcrypt('secret'))
        for number in range(50):
            self.status(program, basic('alice', f'guess{number}'))
        refused = [entry for entry in program.log_entries() if entry['msg'] == 'http authentication failed']
        self.assertTrue(1 <= len(refused) <= 10, program.log_tail())
        self.assertEqual(refused[0]['peer'], '127.0.0.1')
        self.assertNotIn('guess', program.log_text())

    # Renewal.

    def test_users_are_renewed(self):
        program = self.start_with_users(alice=bcrypt('secret'))
        self.assertEqual(self.status(program, basic('alice', 'secret')), 200)
        self.write_users(alice=bcrypt('changed'), bob=bcrypt('secret'))
        eventually(lambda: self.status(program, basic('bob', 'secret')) == 200, timeout=exporter.patience(5), interval=0.1,
                   what=program.log_tail)
        self.assertEqual(self.status(program, basic('alice', 'secret')), 401)
        self.assertEqual(self.status(program, basic('alice', 'changed')), 200)

    def test_sighup_reloads_at_once_and_keeps_the_old_file_on_error(self):
        program = self.start_with_users(alice=bcrypt('secret'))
        self.write_users(bob=bcrypt('secret'))
        program.process.send_signal(signal.SIGHUP)
        eventually(lambda: 'web configuration reloaded' in program.log_text(), timeout=exporter.patience(5),
                   what=program.log_tail)
        self.assertEqual(self.status(program, basic('bob', 'secret')), 200)
        self.assertEqual(self.status(program, basic('alice', 'secret')), 401)
        self.write('basic_auth_users:\n  bob: secret\n')
        program.process.send_signal(signal.SIGHUP)
        eventually(lambda: 'not reloaded, keeping the old one' in program.log_text(), timeout=exporter.patience(5),
                   what=program.log_tail)
        self.assertIn(f'{self.path}:2:', program.log_text())
        self.assertEqual(self.status(program, basic('bob', 'secret')), 200)
        os.unlink(self.path)
        self.assertEqual(self.status(program, basic('bob', 'secret')), 200)
        self.assertEqual(self.status(program), 401)

    def test_a_reload_cannot_switch_authentication_off(self):
        program = self.start_with_users(alice=bcrypt('secret'))
        alice = basic('alice', 'secret')

        def failed():
            return expo.check(program.request('/metrics', headers=alice).body).value('tcphealth_web_config_reload_failed')

        eventually(lambda: program.request('/metrics', headers=alice).status == 200, timeout=exporter.patience(5))
        self.assertEqual(failed(), 0)
        self.write('')
        program.process.send_signal(signal.SIGHUP)
        eventually(lambda: 'authentication cannot be switched off' in program.log_text(), timeout=exporter.patience(5),
                   what=program.log_tail)
        self.assertTrue(any(entry['level'] == 'error' and 'switched off' in entry.get('err', '')
                            for entry in program.log_entries()), program.log_tail())
        self.assertEqual(self.status(program), 401)
        self.assertEqual(self.status(program, alice), 200)
        eventually(lambda: failed() == 1, timeout=exporter.patience(5), what='1 while it is wrong')
        self.write_users(alice=bcrypt('secret'))
        eventually(lambda: failed() == 0, timeout=exporter.patience(10), what='0 once it is right')

    def test_without_a_configuration_sighup_does_nothing(self):
        program = self.start_exporter(self.b)
        program.process.send_signal(signal.SIGHUP)
        eventually(lambda: 'nothing to reload' in program.log_text(), timeout=exporter.patience(5), what=program.log_tail)
        self.assertEqual(self.status(program), 200)

    # Headers and rate.

    def test_headers(self):
        self.write('http_server_config:\n  headers:\n    Content-Security-Policy: "default-src \'none\'"\n'
                   '    X-Frame-Options: deny\n    X-Content-Type-Options: nosniff\n    X-XSS-Protection: 1; mode=block\n'
                   '    Strict-Transport-Security: |\n      max-age=31536000;\n      preload\n')
        program = self.start()
        for path in ('/', '/-/healthy', '/nowhere', '/metrics'):
            response = program.request(path)
            self.assertEqual([response.headers.get_all(name) for name in (
                'Content-Security-Policy', 'X-Frame-Options', 'X-Content-Type-Options', 'X-XSS-Protection',
                'Strict-Transport-Security')],
                [["default-src 'none'"], ['deny'], ['nosniff'], ['1; mode=block'], ['max-age=31536000; preload']], path)

    def test_rate_limit(self):
        self.write('rate_limit:\n  interval: 1h\n  burst: 3\n')
        program = self.start()
        self.assertEqual([self.status(program) for _ in range(5)], [200, 200, 200, 429, 429])

    def test_an_empty_file_changes_nothing(self):
        self.write('')
        program = self.start()
        self.assertEqual(self.status(program), 200)

    def test_users_over_tls(self):
        site = https.Site(os.path.join(os.path.dirname(self.path), 'site'))
        site.write_tls(rest=f'basic_auth_users:\n  alice: {bcrypt("secret")}\n')
        program = self.start_exporter(self.b, f'--web.config.file={site.path}', ready=False)
        session = site.wait(program)
        self.assertEqual(session.request('/metrics').status, 401)
        self.assertEqual(session.request('/-/healthy', headers=basic('alice', 'secret')).status, 200)
