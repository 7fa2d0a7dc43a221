"""TLS and client certificates, and reloading them without a restart."""
import os
import shutil
import signal
import socket
import ssl
import tempfile
import time
import warnings

from tcph import certs, exporter, https, prom, web
from tcph.case import NetTest
from tcph.poll import eventually

# To try whether old versions are refused, they must be asked for.
warnings.simplefilter('ignore', DeprecationWarning)

TLS1_1, TLS1_2, TLS1_3 = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


class TlsTest(NetTest):
    def setUp(self):
        super().setUp()
        self.site = https.Site(self.enterContext(tempfile.TemporaryDirectory()))

    def trust(self, authority):
        """Clients of this one alone."""
        path = os.path.join(self.site.directory, 'clients.pem')
        shutil.copy(authority.path('ca.crt'), path + '.new')
        os.rename(path + '.new', path)

    def start(self, more='', rest='', client=None, clients=None):
        """The exporter with TLS and these lines more in its configuration."""
        if clients:
            self.trust(clients)
        self.site.write_tls(more, rest)
        program = self.start_exporter(self.b, f'--web.config.file={self.site.path}', ready=False)
        self.session = self.site.wait(program, client=client)
        return program

    def accepts(self, program, **options):
        return self.site.session(program, **options).works()

    def reload(self, program):
        """SIGHUP, and waits until the log tells of it."""
        def reloads():
            return sum(entry['msg'] == 'web configuration reloaded' for entry in program.log_entries())

        before = reloads()
        program.process.send_signal(signal.SIGHUP)
        eventually(lambda: reloads() > before, timeout=exporter.patience(10), what=program.log_tail)

    def versions(self, program):
        """Of TLS 1.1, 1.2 and 1.3, which are spoken."""
        return [self.accepts(program, minimum=version, maximum=version) for version in (TLS1_1, TLS1_2, TLS1_3)]

    # Versions, suites and curves.

    def test_metrics_over_tls(self):
        program = self.start()
        eventually(lambda: self.session.request('/-/ready').status == 200, timeout=exporter.patience(10))
        response = self.session.request('/metrics', headers={'Accept': 'text/plain'})
        self.assertEqual((response.status, response.headers['Content-Type']),
                         (200, 'text/plain; version=0.0.4; charset=utf-8'))
        self.assertIn(b'\ntcphealth_sample_success 1\n', response.body)
        self.assertEqual(self.session.cipher[1], 'TLSv1.3')
        self.assertEqual(program.log_entries()[1].get('tls'), 'on')

    def test_silent_clients_cost_nothing(self):
        """They connect, some send half a ClientHello, and say no more: no thread spins until their time is over."""
        program = self.start()
        silent = [self.enterContext(self.b.socket()) for _ in range(4)]
        for number, client in enumerate(silent):
            client.connect(('127.0.0.1', program.port))
            client.sendall(b'\x16\x03\x01\x02\x00\x01'[:number * 2])
        began, used = time.monotonic(), self.cpu_seconds(program)
        eventually(lambda: time.monotonic() - began > 3)
        # A thread that spins takes a second of each second.
        self.assertLess(self.cpu_seconds(program) - used, 1)

    @staticmethod
    def cpu_seconds(program):
        with open(f'/proc/{program.process.pid}/stat', encoding='ascii', errors='replace') as file:
            fields = file.read().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def test_prometheus_scrapes_it(self):
        client = self.site.authority.issue('prometheus')
        self.start('client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: ca.crt',
                   f'basic_auth_users:\n  prometheus: {https.bcrypt("secret")}\n', client=client)
        scrape = {'scheme': 'https', 'basic_auth': {'username': 'prometheus', 'password': 'secret'},
                  'tls_config': {'ca_file': self.site.authority.path('ca.crt'), 'cert_file': client + '.crt',
                                 'key_file': client + '.key'}}
        prometheus = self.enterContext(prom.Prometheus(self.b, ['127.0.0.1:10793'], **scrape))
        prometheus.wait_for('tcphealth_sample_success', lambda found: [value for _, value in found] == [1])

    def test_plain_http_is_not_served_there(self):
        program = self.start()
        with self.assertRaises(OSError):
            web.request(self.b, program.port, '/metrics')
        self.assertTrue(self.session.works())

    def test_default_versions(self):
        self.assertEqual(self.versions(self.start()), [False, True, True])

    def test_min_version(self):
        self.assertEqual(self.versions(self.start('min_version: TLS13')), [False, False, True])

    def test_max_version(self):
        self.assertEqual(self.versions(self.start('max_version: TLS12')), [False, True, False])

    def test_old_versions_stay_off_whatever_the_file_says(self):
        self.assertEqual(self.versions(self.start('min_version: TLS10\nmax_version: TLS11')), [False, True, False])

    def test_cipher_suites_choose_for_tls_1_2_alone(self):
        program = self.start('cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]')
        session = self.site.session(program, maximum=TLS1_2, ciphers='ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384')
        self.assertTrue(session.works())
        self.assertEqual(session.cipher[0], 'ECDHE-RSA-AES256-GCM-SHA384')
        self.assertFalse(self.accepts(program, maximum=TLS1_2, ciphers='ECDHE-RSA-AES128-GCM-SHA256'))
        self.assertFalse(self.accepts(program, maximum=TLS1_2, ciphers='ECDHE-RSA-CHACHA20-POLY1305'))
        self.assertFalse(self.accepts(program, maximum=TLS1_2, ciphers='AES256-GCM-SHA384'))
        self.assertTrue(self.accepts(program, minimum=TLS1_3))

    def test_only_suites_of_tls_1_3_leave_none_for_tls_1_2(self):
        program = self.start('cipher_suites: [TLS_AES_128_GCM_SHA256]')
        self.assertEqual(self.versions(program), [False, False, True])

    def test_curves(self):
        program = self.start('curve_preferences: [CurveP384]')
        self.assertTrue(self.accepts(program, curve='secp384r1'))
        self.assertFalse(self.accepts(program, curve='prime256v1'))

    # Client certificates.

    def test_client_auth_types(self):
        foreign = certs.Authority(os.path.join(self.site.directory, 'foreign')).issue('stranger')
        clients = {'none': None, 'good': self.site.authority.issue('client'), 'foreign': foreign,
                   'server': self.site.authority.issue('wrong-use', usage='serverAuth')}
        everyone = set(clients)
        cases = (
            ('NoClientCert', '', everyone),
            ('RequestClientCert', 'client_ca_file: ca.crt', everyone),
            ('RequireAnyClientCert', 'client_ca_file: ca.crt', everyone - {'none'}),
            ('RequireClientCert', '', everyone - {'none'}),
            ('VerifyClientCertIfGiven', 'client_ca_file: ca.crt', {'none', 'good'}),
            ('RequireAndVerifyClientCert', 'client_ca_file: ca.crt', {'good'}),
            ('RequireAndVerifyClientCert', '', set()),  # by the system's authorities
        )
        program = self.start()
        for auth_type, more, welcome in cases:
            self.site.write_tls(f'client_auth_type: {auth_type}\n{more}')
            self.reload(program)
            for maximum in (TLS1_2, TLS1_3):
                with self.subTest(type=auth_type, ca=more, version=maximum.name):
                    found = {name for name, client in clients.items()
                             if self.accepts(program, client=client, maximum=maximum)}
                    self.assertEqual(found, welcome)

    def test_allowed_sans(self):
        issue = self.site.authority.issue
        clients = {'dns': issue('dns', san='DNS:other.example,DNS:prometheus.example'), 'address': issue('ip', san='IP:192.0.2.1'),
                   'v6': issue('v6', san='IP:2001:db8::1'), 'mail': issue('mail', san='email:me@example.org'),
                   'uri': issue('uri', san='URI:spiffe://example/prometheus'), 'not': issue('not', san='DNS:prometheus.example.org')}
        program = self.start('client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: ca.crt\nclient_allowed_sans:\n'
                             '- prometheus.example\n- 192.0.2.1\n- 2001:db8::1\n- me@example.org\n- spiffe://example/prometheus',
                             client=clients['dns'])
        self.assertEqual({name for name, client in clients.items() if self.accepts(program, client=client)},
                         set(clients) - {'not'})
        self.assertIn('no allowed subject alternative name', program.log_text())

    # Renewal.

    def serial(self, program):
        session = self.site.session(program)
        session.request()
        return session.peer['serialNumber']

    def test_certificates_are_renewed(self):
        program = self.start()
        old = self.serial(program)
        self.site.authority.issue('server', rsa=True)
        eventually(lambda: self.serial(program) != old, timeout=exporter.patience(10), interval=0.2, what=program.log_tail)
        self.assertIn('web configuration renewed', program.log_text())

    def test_authorities_of_clients_are_renewed(self):
        old = self.site.authority.issue('client')
        program = self.start('client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: clients.pem', client=old,
                             clients=self.site.authority)
        other = certs.Authority(os.path.join(self.site.directory, 'other'))
        new = other.issue('client')
        self.assertFalse(self.accepts(program, client=new))
        self.trust(other)
        eventually(lambda: self.accepts(program, client=new), timeout=exporter.patience(10), interval=0.2, what=program.log_tail)
        self.assertFalse(self.accepts(program, client=old))

    def test_a_key_that_does_not_fit_keeps_the_old_certificate(self):
        program = self.start()
        old = self.serial(program)
        self.site.authority.issue('server2', rsa=True)
        os.rename(self.site.authority.path('server2.key'), self.site.authority.path('server.key'))
        eventually(lambda: self.serial(program) and 'not renewed' in program.log_text(), timeout=exporter.patience(10),
                   interval=0.2, what=program.log_tail)
        self.assertEqual(self.serial(program), old)
        os.rename(self.site.authority.path('server2.crt'), self.site.authority.path('server.crt'))
        eventually(lambda: self.serial(program) != old, timeout=exporter.patience(10), interval=0.2, what=program.log_tail)
        self.assertEqual(program.log_text().count('not renewed'), 1)

    def test_a_connection_keeps_what_it_began_with(self):
        program = self.start()
        held = https._Connection(self.b, program.port, self.site.context(), 10)  # pylint: disable=protected-access
        self.addCleanup(held.close)
        for _ in range(3):
            held.request('GET', '/-/healthy')
            self.assertEqual(held.getresponse().read(), b'tcphealth_exporter is healthy.\n')
            old = self.serial(program)
            self.site.authority.issue('server', rsa=True)
            eventually(lambda before=old: self.serial(program) != before, timeout=exporter.patience(8), interval=0.2,
                       what=program.log_tail)

    def test_tls_is_not_switched_off_by_a_reload(self):
        program = self.start()
        self.site.write('http_server_config:\n  http2: true\n')
        program.process.send_signal(signal.SIGHUP)
        eventually(lambda: 'cannot be switched off' in program.log_text(), timeout=exporter.patience(5), what=program.log_tail)
        self.assertTrue(self.session.works())

    def test_client_certificates_are_not_switched_off_by_a_reload(self):
        client = self.site.authority.issue('client')
        program = self.start('client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: ca.crt', client=client)
        self.site.write_tls()
        program.process.send_signal(signal.SIGHUP)
        eventually(lambda: 'client certificates cannot be switched off' in program.log_text(), timeout=exporter.patience(5),
                   what=program.log_tail)
        self.assertFalse(self.accepts(program))
        self.assertTrue(self.accepts(program, client=client))

    # Limits.

    def test_a_handshake_that_does_not_end_is_ended(self):
        program = self.start()
        stuck = self.b.socket(4)
        self.addCleanup(stuck.close)
        stuck.connect(('127.0.0.1', program.port))
        stuck.settimeout(1)
        begun = time.monotonic()
        hello = b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(400)
        for position in range(40):
            try:
                stuck.send(hello[position:position + 1])
                if stuck.recv(1) == b'':
                    break
            except socket.timeout:
                continue
            except OSError:
                break
        else:
            self.fail('still open after 40 s')
        self.assertLess(time.monotonic() - begun, 25)
        self.assertTrue(self.session.works())

    def test_connections_of_one_address_are_limited(self):
        program = self.start()
        held = []
        for _ in range(40):
            held.append(self.b.socket(4))
            self.addCleanup(held[-1].close)
            held[-1].connect(('127.0.0.1', program.port))
        eventually(lambda: 'too many http connections' in program.log_text(), timeout=5,
                   what=program.log_tail)
    def test_the_log_is_not_flooded(self):
        program = self.start('client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: ca.crt',
                             client=self.site.authority.issue('client'))
        for _ in range(60):
            self.assertFalse(self.accepts(program))
        self.assertLess(len(program.log_text().splitlines()), 30)


class StartTest(NetTest):
    def test_a_bad_file_ends_the_start_with_one_line(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, 'web.yml')
            for text in ('nonsense: 1\n', 'tls_server_config:\n  cert_file: nowhere\n  key_file: nowhere\n'):
                with open(path, 'w', encoding='utf-8') as file:
                    file.write(text)
                done = exporter.run(self.b, '--web.listen-address=127.0.0.1:0', f'--web.config.file={path}')
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertEqual(done.stderr.count(b'level=error'), 1, done.stderr)
                self.assertIn(path.encode(), done.stderr)
