#!/usr/bin/python3
"""Healthy load by real programs, of which nothing may be called stale.

    tests/healthy/run.py [SECONDS]        120 by default; an hour by hand

Two hosts: clients on one, servers on the other, all with the settings that Debian ships where it matters: Apache prefork
behind HAProxy, nginx with upstream keepalive, PostgreSQL behind pgbouncer, Redis, pools of python3-requests, ssh sessions,
and a curl now and then as cron has it. Exporters at their defaults sample both, and a real Prometheus evaluates the mixin.
Only `idle`, and `eof_unread` of a client (a pool whose server closed an idle connection), may show; no alert may be pending
and no line may be logged. The last line is `N passed, N failed`.
"""
import contextlib
import itertools
import os
import pwd
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'it'))
sys.dont_write_bytecode = True

from tcph import exporter, netns, prom  # pylint: disable=wrong-import-position
from tcph.poll import eventually        # pylint: disable=wrong-import-position

MIXIN = os.path.join(os.path.dirname(os.path.dirname(HERE)), 'deploy/mixin/generated')
POSTGRES = '/usr/lib/postgresql/15/bin/'
#: What a healthy host may show, and only as this role.
ALLOWED = {('idle', 'client'), ('idle', 'server'), ('eof_unread', 'client')}

APACHE = '''
    ServerRoot {dir}/apache
    ServerName healthy.test
    Listen {address}:8080
    PidFile {dir}/apache/pid
    ErrorLog {dir}/apache/log
    LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
    LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
    User www-data
    DocumentRoot {dir}/www
    <Directory {dir}/www>
        Require all granted
    </Directory>
'''
HAPROXY = '''
    defaults
        mode http
        timeout connect 5s
        timeout client 30s
        timeout server 30s
        http-reuse safe
    frontend front
        bind {address}:8081
        default_backend apache
    backend apache
        server one {address}:8080 check inter 2s
'''
NGINX = '''
    daemon off;
    pid {dir}/nginx/pid;
    error_log {dir}/nginx/log;
    events {{ }}
    http {{
        access_log off;
        client_body_temp_path {dir}/nginx/body; proxy_temp_path {dir}/nginx/proxy; fastcgi_temp_path {dir}/nginx/fastcgi;
        uwsgi_temp_path {dir}/nginx/uwsgi; scgi_temp_path {dir}/nginx/scgi;
        upstream apache {{ server {address}:8080; keepalive 8; }}
        server {{
            listen {address}:8082;
            keepalive_timeout 20s;
            location / {{ proxy_pass http://apache; proxy_http_version 1.1; proxy_set_header Connection ""; }}
        }}
    }}
'''
PGBOUNCER = '''
    [databases]
    postgres = host={address} port=5432
    [pgbouncer]
    listen_addr = {address}
    listen_port = 6432
    unix_socket_dir =
    auth_type = trust
    auth_file = {dir}/users
    pool_mode = transaction
    server_idle_timeout = 20

'''
SSHD = '''
    Port 2222
    ListenAddress {address}
    HostKey {dir}/ssh/host
    PidFile {dir}/ssh/pid
    AuthorizedKeysFile {dir}/ssh/key.pub
    PermitRootLogin prohibit-password
    UsePAM no
    StrictModes no
'''


class Load:
    """The programs of one run; all of them end with the `with` block."""

    def __init__(self, pair, directory):
        self.pair = pair
        self.dir = directory
        self.address = pair.b.address[4]
        self.stack = contextlib.ExitStack()
        self.over = threading.Event()
        self.errors = []
        self.rounds = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.stack.close()

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, template):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), 'w', encoding='utf-8') as file:
            file.write(template.format(dir=self.dir, address=self.address))
        return self.path(name)

    def serve(self, port, *argv):
        """Starts a program on the servers' host and waits for its listener."""
        with open(self.path(f'{port}.log'), 'wb') as log:
            process = self.pair.b.popen(*argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.stack.callback(netns.kill, process)
        eventually(lambda: process.poll() is not None or self.listens(port), timeout=30, what=argv)
        if process.poll() is not None:
            with open(self.path(f'{port}.log'), encoding='utf-8', errors='replace') as log:
                raise RuntimeError(f'{argv[0]} ended with status {process.returncode}: {log.read()}')

    def listens(self, port):
        return self.pair.b.run('ss', '-tlnH', f'sport = :{port}')

    def start_servers(self):
        os.makedirs(self.path('www'))
        self.write('www/index.html', '<p>healthy</p>\n' * 100)
        self.serve(8080, 'apache2', '-DFOREGROUND', '-f', self.write('apache/conf', APACHE))
        self.serve(8081, 'haproxy', '-db', '-f', self.write('haproxy.cfg', HAPROXY))
        self.serve(8082, 'nginx', '-p', self.dir, '-c', self.write('nginx/conf', NGINX))
        self.serve(6379, 'redis-server', '--bind', self.address, '--protected-mode', 'no', '--save', '')
        self.start_postgres()
        self.start_sshd()

    def start_postgres(self):
        postgres = pwd.getpwnam('postgres')
        data = self.path('postgres')
        os.makedirs(data)
        os.chown(data, postgres.pw_uid, postgres.pw_gid)
        as_postgres = ('setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups')
        self.pair.b.run(*as_postgres, POSTGRES + 'initdb', '-D', data, '-A', 'trust')
        with open(data + '/pg_hba.conf', 'a', encoding='utf-8') as file:
            file.write(f'host all all {self.address}/24 trust\n')
        self.serve(5432, *as_postgres, POSTGRES + 'postgres', '-D', data, '-h', self.address, '-k', data)
        self.write('users', '"postgres" ""\n')
        self.serve(6432, 'pgbouncer', '-u', 'postgres', self.write('pgbouncer.ini', PGBOUNCER))

    def start_sshd(self):
        os.makedirs(self.path('ssh'))
        os.makedirs('/run/sshd', exist_ok=True)
        for key in ('host', 'key'):
            subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', self.path('ssh/' + key)], check=True)
        self.serve(2222, '/usr/sbin/sshd', '-D', '-e', '-f', self.write('ssh/conf', SSHD))

    def start_clients(self):
        for port in (8081, 8082, 8080):
            self.repeat(f'requests {port}', self.requests_client(port))
        self.repeat('curl', lambda: self.run('curl', '-sS', '-o', '/dev/null', f'http://{self.address}:8082/index.html'), 5)
        self.repeat('psql', lambda: self.run('psql', '-h', self.address, '-p', '6432', '-U', 'postgres', '-c',
                                             'select pg_sleep(0.2)', 'postgres'), 3)
        self.repeat('redis', self.redis_client(), 0.5)
        self.repeat('ssh', lambda: self.run(*self.ssh('true')), 7)
        session = self.pair.a.popen(*self.ssh('cat'), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.stack.callback(netns.kill, session)

    def ssh(self, command):
        return ('ssh', '-q', '-p', '2222', '-i', self.path('ssh/key'), '-o', 'StrictHostKeyChecking=no', '-o',
                'UserKnownHostsFile=/dev/null', f'root@{self.address}', command)

    def run(self, *argv):
        """A short command on the clients' host."""
        self.pair.a.run(*argv)

    def requests_client(self, port):
        """A pool of three connections in a process of its own: bursts with pauses longer than the servers' timeouts."""
        script = ('import itertools, sys, time, requests\n'
                  'session = requests.Session()\n'
                  'pause = itertools.cycle([0.2] * 10 + [7])\n'
                  'for line in sys.stdin:\n'
                  '    session.get(line.strip(), timeout=10).raise_for_status()\n'
                  '    time.sleep(next(pause))\n'
                  '    print("ok", flush=True)\n')
        process = self.pair.a.popen('/usr/bin/python3', '-c', script, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    text=True)
        self.stack.callback(netns.kill, process)

        def ask():
            process.stdin.write(f'http://{self.address}:{port}/index.html\n')
            process.stdin.flush()
            if process.stdout.readline() != 'ok\n':
                raise RuntimeError(f'the pool of port {port} ended')

        return ask

    def redis_client(self):
        sock = self.pair.a.socket()
        sock.settimeout(10)
        sock.connect((self.address, 6379))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.stack.callback(sock.close)

        def ask():
            sock.sendall(b'INCR n\r\n')
            if not sock.recv(100).startswith(b':'):
                raise RuntimeError('redis')

        return ask

    def repeat(self, name, act, pause=0):
        """Does it again and again, in a thread, until all is over. The first error is kept."""
        def loop():
            try:
                for self.rounds[name] in itertools.count():
                    act()
                    if self.over.wait(pause):
                        return
            except Exception as error:  # pylint: disable=broad-except
                if not self.over.is_set():
                    self.errors.append(f'{name}: {error}')

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()


def accused(page):
    """What is stale on the page and may not be."""
    return {(labels['role'], labels['port'], labels['reason']): value
            for labels, value in page.series('tcphealth_stale_connections')
            if value and (labels['reason'], labels['role']) not in ALLOWED}


def watch(load, programs, prometheus, seconds):
    """Looks until the time is over; what is wrong, as text, once each."""
    wrong = set()
    end = time.monotonic() + seconds
    pages = 0

    def look():
        nonlocal pages
        for host, program in programs.items():
            page = program.page()
            pages += 1
            wrong.update(f'{host}: {row} is called stale' for row in accused(page))
        wrong.update(f'alert {labels["alertname"]} is {labels["alertstate"]}: {labels}'
                     for labels, _ in prometheus.query('ALERTS') if labels['alertname'] != 'Watchdog')
        return load.errors or time.monotonic() > end

    eventually(look, timeout=seconds + 60, interval=2)
    print(f'{pages} pages over {seconds} s; rounds: {load.rounds}')
    for host, program in programs.items():
        wrong.update(f'{host} logs: {entry}' for entry in program.log_entries()
                     if entry.get('level') in ('warn', 'error') or 'stale' in entry.get('msg', ''))
    return sorted(wrong) + load.errors


def rules():
    """The mixin's recording rules and alerts in one file."""
    texts = []
    for name in ('rules.yaml', 'alerts.yaml'):
        with open(os.path.join(MIXIN, name), encoding='utf-8') as file:
            texts.append(file.read())
    return 'groups:\n' + ''.join(text.split('groups:\n', 1)[1] for text in texts)


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 120
    netns.sweep()
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix='tcph-healthy-'))
        os.chmod(directory, 0o755)
        pair = stack.enter_context(netns.Pair())
        load = stack.enter_context(Load(pair, directory))
        load.start_servers()
        defaults = ('--collector.interval=5s', '--collector.cpu-budget=0.05', '--web.listen-address=:10793')
        programs = {name: stack.enter_context(exporter.Exporter(host, *defaults))
                    for name, host in (('a', pair.a), ('b', pair.b))}
        prometheus = stack.enter_context(prom.Prometheus(
            pair.b, [f'{pair.a.address[4]}:10793', '127.0.0.1:10793'], rules=rules()))
        load.start_clients()
        wrong = watch(load, programs, prometheus, seconds)
    for line in wrong:
        print('FAIL', line)
    print('1 passed, 0 failed' if not wrong else f'0 passed, {len(wrong)} failed')
    return bool(wrong)


if __name__ == '__main__':
    sys.exit(main())
