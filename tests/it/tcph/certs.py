"""Certificates for tests, created by openssl."""
import os
import subprocess


def openssl(*args, text=None):
    done = subprocess.run(['openssl', *args], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise AssertionError(f'openssl {args}: {done.stderr}')
    return done.stdout


class Authority:
    """A certificate authority in a directory: `NAME.crt` and `NAME.key`, and those that issue() makes beside them."""

    def __init__(self, directory, name='ca'):
        self.directory = directory
        self.name = name
        os.makedirs(directory, exist_ok=True)
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '3650', '-subj',
                f'/CN=test {name}', '-keyout', self.path(f'{name}.key'), '-out', self.path(f'{name}.crt'))

    def path(self, name):
        return os.path.join(self.directory, name)

    def issue(self, name, san='DNS:localhost,IP:127.0.0.1', usage='serverAuth,clientAuth', rsa=False, days=3650):
        """`name`.crt and .key, with these subject alternative names; the path without its suffix."""
        kind = ['rsa:2048'] if rsa else ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
        openssl('req', '-newkey', *kind, '-nodes', '-subj', f'/CN={name}', '-keyout', self.path(f'{name}.key'), '-out',
                self.path(f'{name}.csr'))
        with open(self.path(f'{name}.ext'), 'w', encoding='ascii') as file:
            file.write(f'subjectAltName={san}\nextendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n')
        openssl('x509', '-req', '-in', self.path(f'{name}.csr'), '-CA', self.path(f'{self.name}.crt'), '-CAkey',
                self.path(f'{self.name}.key'), '-CAcreateserial', '-days', str(days), '-extfile', self.path(f'{name}.ext'), '-out',
                self.path(f'{name}.crt'))
        return self.path(name)


def make_corpus_files(directory):
    """What the files of tests/webconfig/corpus name."""
    authority = Authority(directory)
    server = authority.issue('server', rsa=True)
    authority.issue('ecdsa')
    authority.issue('other')
    authority.issue('expired', days=-1)
    openssl('x509', '-in', server + '.crt', '-outform', 'DER', '-out', server + '.der')
    openssl('rsa', '-aes256', '-passout', 'pass:secret', '-traditional', '-in', server + '.key', '-out',
            authority.path('encrypted.key'))
    with open(authority.path('both.pem'), 'w', encoding='ascii') as both:
        for name in (server + '.key', server + '.crt'):
            with open(name, encoding='ascii') as file:
                both.write(file.read())
    with open(authority.path('garbage.pem'), 'w', encoding='ascii') as file:
        file.write('-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n')
    with open(authority.path('empty.pem'), 'w', encoding='ascii'):
        pass
