"""HTTPS requests from inside a network namespace, and the web configuration of an exporter under test."""
import base64
import crypt  # pylint: disable=deprecated-module
import http.client
import os
import ssl

from tcph import certs, web
from tcph.poll import eventually


def bcrypt(password, cost=4):
    salt = 'abcdefghijklmnopqrstuu'
    return crypt.crypt(password, f'$2b${cost:02}${salt}')


def basic(name, password):
    pair = f'{name}:{password}'.encode()
    return {'Authorization': 'Basic ' + base64.b64encode(pair).decode()}


class _Connection(http.client.HTTPConnection):
    def __init__(self, netns, port, context, timeout):
        super().__init__('127.0.0.1', port, timeout=timeout)
        self._netns = netns
        self._context = context

    def connect(self):
        raw = self._netns.socket(4)
        raw.settimeout(self.timeout)
        raw.connect((self.host, self.port))
        self.sock = self._context.wrap_socket(raw, server_hostname='localhost')


class Session:
    """Connections to 127.0.0.1:`port` with one client context; session.request() as tcph.web.request()."""

    def __init__(self, netns, port, context):
        self.netns, self.port, self.context = netns, port, context
        self.cipher = self.peer = None  # of the last request

    def request(self, path='/-/healthy', method='GET', headers=None, timeout=10):
        connection = _Connection(self.netns, self.port, self.context, timeout)
        try:
            connection.request(method, path, headers=headers or {})
            self.cipher = connection.sock.cipher()
            self.peer = connection.sock.getpeercert()
            response = connection.getresponse()
            return web.Response(response.status, response.headers, response.read())
        finally:
            connection.close()

    def works(self, **options):
        """Whether a request is answered at all: a server refuses a TLS 1.3 client after its own handshake is done."""
        try:
            return self.request(**options).status == 200
        except OSError:  # ssl.SSLError is one
            return False
        except http.client.HTTPException:
            return False


class Site:
    """A directory with an authority, a server certificate, and web.yml."""

    def __init__(self, directory):
        self.directory = directory
        self.authority = certs.Authority(directory)
        self.authority.issue('server', rsa=True)
        self.path = os.path.join(directory, 'web.yml')

    def write(self, text):
        """Replaces web.yml as a whole."""
        with open(self.path + '.new', 'w', encoding='utf-8') as file:
            file.write(text)
        os.rename(self.path + '.new', self.path)

    def write_tls(self, more='', rest=''):
        """web.yml with TLS, `more` lines of that section, and what follows it."""
        lines = ''.join(f'  {line}\n' for line in more.splitlines())
        self.write(f'tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{lines}{rest}')

    def context(self, client=None, minimum=None, maximum=None, ciphers=None, curve=None):
        """A client that trusts the authority; `client` is the path of its certificate and key without suffix."""
        context = ssl.create_default_context(cafile=self.authority.path('ca.crt'))
        if minimum or maximum or ciphers:
            # OpenSSL's default refuses old versions itself; here it is the server that must.
            context.set_ciphers((ciphers or 'ALL') + ':@SECLEVEL=0')
            context.minimum_version = minimum or ssl.TLSVersion.TLSv1
            context.maximum_version = maximum or ssl.TLSVersion.TLSv1_3
        if client:
            context.load_cert_chain(client + '.crt', client + '.key')
        if curve:
            context.set_ecdh_curve(curve)
        return context

    def session(self, program, **options):
        return Session(program.host, program.port, self.context(**options))

    def wait(self, program, **options):
        """Waits until the exporter answers over TLS; returns the session."""
        session = self.session(program, **options)

        def is_there():
            try:
                return session.request('/-/healthy')
            except ConnectionRefusedError:
                return None

        eventually(is_there, timeout=30, what=program.log_tail)
        return session
