#!/usr/bin/python3
"""Sends malformed, oversized and odd requests to the exporter's HTTP server, byte by byte as written here.

  test_http_raw.py HOST:PORT         tests a running server
  test_http_raw.py --program BINARY  starts BINARY on a free port of 127.0.0.1, and stops it afterwards

The server must answer each request with one of the given statuses, close the connection (CLOSED), or wait for more
(OPEN). Its output must be well-formed answers only. After every request it must still serve /metrics. The last line is
`N passed, N failed, 0 skipped`.
"""
import re
import socket
import subprocess
import sys
import time

CLOSED, OPEN = "closed", "open"
BAD = {400, CLOSED}
TIMEOUT = 5.0  # for what must come
PATIENCE = 0.3  # for what may stay open

HOST = b"Host: x\r\n"
GET = b"GET /metrics HTTP/1.1\r\n" + HOST
END = b"\r\n"


def get(path, headers=b""):
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + headers + END


# name, bytes, what may happen
CASES = [
    # plain ones, so that the rest means something
    ("metrics", GET + END, {200}),
    ("http 1.0", b"GET /metrics HTTP/1.0\r\n\r\n", {200}),
    ("http 1.0 keep-alive", b"GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", {200}),
    ("bare newlines", b"GET /metrics HTTP/1.1\nHost: x\n\n", {200, 400, CLOSED}),
    ("leading empty line", b"\r\n" + GET + END, {200, 400}),
    ("many leading empty lines", b"\r\n" * 50 + GET + END, {200, 400, CLOSED}),
    ("head", b"HEAD /metrics HTTP/1.1\r\n" + HOST + END, {200}),
    ("healthy", get(b"/-/healthy"), {200}),
    ("ready", get(b"/-/ready"), {200, 503}),
    ("root", get(b"/"), {200}),
    # the request line
    ("empty", b"", {OPEN}),
    ("one letter", b"G", {OPEN}),
    ("no end of headers", GET, {OPEN}),
    ("garbage line", b"garbage\r\n\r\n", BAD),
    ("only a method", b"GET\r\n\r\n", BAD),
    ("only a space", b" \r\n\r\n", BAD),
    ("method and space", b"GET \r\n\r\n", BAD),
    ("http 0.9", b"GET /metrics\r\n\r\n", BAD),
    ("no version number", b"GET /metrics HTTP\r\n" + HOST + END, BAD | {505}),
    ("version 2.0", b"GET /metrics HTTP/2.0\r\n" + HOST + END, BAD | {505}),
    ("version 9.9", b"GET /metrics HTTP/9.9\r\n" + HOST + END, BAD | {505}),
    ("version 1.9", b"GET /metrics HTTP/1.9\r\n" + HOST + END, BAD | {200, 505}),
    ("lower-case version", b"GET /metrics http/1.1\r\n" + HOST + END, BAD | {505}),
    ("http/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD | {405, 505}),
    ("tls hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)), BAD | {OPEN}),
    ("ssh banner", b"SSH-2.0-OpenSSH_9.2\r\n", BAD | {OPEN}),
    ("zero bytes", bytes(500), BAD | {OPEN}),
    ("high bytes", bytes([255]) * 500, BAD | {OPEN}),
    ("zero bytes and an end", bytes(100) + b"\r\n\r\n", BAD | {405, OPEN}),
    ("two spaces", b"GET  /metrics HTTP/1.1\r\n" + HOST + END, BAD | {200, 404}),
    ("tab for space", b"GET\t/metrics\tHTTP/1.1\r\n" + HOST + END, BAD | {200, 405}),
    ("space in path", b"GET /met rics HTTP/1.1\r\n" + HOST + END, BAD | {404}),
    ("carriage return in path", b"GET /met\rrics HTTP/1.1\r\n" + HOST + END, BAD | {404}),
    ("zero byte in path", b"GET /metrics\0 HTTP/1.1\r\n" + HOST + END, BAD | {200, 404}),
    ("lower-case method", b"get /metrics HTTP/1.1\r\n" + HOST + END, {405, 400}),
    ("odd method", b"G=T /metrics HTTP/1.1\r\n" + HOST + END, {405, 400}),
    ("long method", b"A" * 4000 + b" /metrics HTTP/1.1\r\n" + HOST + END, {405, 400, 414, 431, 501}),
    ("asterisk", b"GET * HTTP/1.1\r\n" + HOST + END, {404, 400}),
    ("options asterisk", b"OPTIONS * HTTP/1.1\r\n" + HOST + END, {405, 400}),
    ("connect", b"CONNECT x:443 HTTP/1.1\r\n" + HOST + END, {405, 400}),
    ("trace", b"TRACE /metrics HTTP/1.1\r\n" + HOST + END, {405}),
    ("absolute uri", b"GET http://x/metrics HTTP/1.1\r\n" + HOST + END, {200, 400, 404}),
    ("path without slash", b"GET metrics HTTP/1.1\r\n" + HOST + END, {400, 404}),
    # paths
    ("dot dot", get(b"/../../etc/passwd"), {404, 400}),
    ("encoded dot dot", get(b"/%2e%2e/%2e%2e/etc/passwd"), {404, 400}),
    ("encoded metrics", get(b"/%6detrics"), {200, 404}),
    ("encoded slash", get(b"%2fmetrics"), {200, 400, 404}),
    ("encoded zero", get(b"/metrics%00.txt"), {200, 400, 404}),
    ("cut escape", get(b"/metrics%"), {400, 404}),
    ("bad escape", get(b"/%zz%gg"), {400, 404}),
    ("invalid utf-8", get(b"/\xff\xfe\xc0\xaf"), {400, 404, CLOSED}),
    ("fragment", get(b"/metrics#x"), {200, 400, 404}),
    ("path of 8 kB", get(b"/" + b"a" * 8000), {404, 414, 431}),
    ("path of 20 kB", get(b"/" + b"a" * 20000), {414, 431, CLOSED}),
    ("path of 1 MB", get(b"/" + b"a" * 1000000), {414, 431, CLOSED}),
    ("endless line", b"A" * 200000, {400, 414, 431, CLOSED}),
    # query; libmicrohttpd 0.9.75 has no memory left to answer too many arguments, and lets the timeout close
    ("empty query", get(b"/metrics?"), {200}),
    ("collect", get(b"/metrics?collect[]=cpu"), {400}),
    ("encoded collect", get(b"/metrics?collect%5B%5D=cpu"), {400}),
    ("3000 arguments", get(b"/metrics?" + b"a=b&" * 3000), {200, 414, 431, 400, CLOSED, OPEN}),
    ("ampersands", get(b"/metrics?" + b"&" * 4000), {200, 414, 431, 400, CLOSED, OPEN}),
    ("escapes only", get(b"/metrics?" + b"%00" * 1000), {200, 400, 414, 431}),
    # headers
    ("no host", b"GET /metrics HTTP/1.1\r\n\r\n", {400}),
    ("two hosts", GET + b"Host: y\r\n" + END, {200, 400}),
    ("empty host", b"GET /metrics HTTP/1.1\r\nHost:\r\n\r\n", {200, 400}),
    ("header without colon", GET + b"nonsense\r\n" + END, {200} | BAD),
    ("header without name", GET + b": x\r\n" + END, {200} | BAD),
    ("space before colon", GET + b"X : y\r\n" + END, {200} | BAD),
    ("folded header", GET + b"X: y\r\n z\r\n" + END, {200} | BAD),
    ("first header folded", b"GET /metrics HTTP/1.1\r\n Host: x\r\n\r\n", {200} | BAD),
    ("zero byte in header", GET + b"X: a\0b\r\n" + END, {200} | BAD),
    ("high bytes in header", GET + b"X\xff: \xfe\xff\r\n" + END, {200} | BAD),
    ("header of 8 kB", GET + b"X: " + b"y" * 8000 + b"\r\n" + END, {200, 431}),
    ("header of 100 kB", GET + b"X: " + b"y" * 100000 + b"\r\n" + END, {431, 413, CLOSED}),
    ("header name of 100 kB", GET + b"X" * 100000 + b": y\r\n" + END, {431, 413, CLOSED}),
    ("2000 headers", GET + b"X: y\r\n" * 2000 + END, {200, 431, 413, CLOSED}),
    ("1000 empty headers", GET + b"X:\r\n" * 1000 + END, {200, 431, 413, CLOSED}),
    ("cookies", GET + b"Cookie: " + b"a=b; " * 500 + b"\r\n" + END, {200, 431, 400, CLOSED}),
    ("broken cookie", GET + b'Cookie: a="b; =;;=,\\\r\n' + END, {200, 400}),
    ("basic auth garbage", GET + b"Authorization: Basic !!!!\r\n" + END, {200, 401}),
    ("digest auth garbage", GET + b'Authorization: Digest username="a, nonce=\r\n' + END, {200, 401}),
    ("upgrade", GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + END, {200, 400}),
    ("upgrade to h2c", GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
     b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n" + END, {200, 400}),
    ("range", GET + b"Range: bytes=0-1\r\n" + END, {200}),
    ("conditional", GET + b"If-None-Match: *\r\nIf-Modified-Since: x\r\n" + END, {200}),
    # negotiation
    ("accept garbage", GET + b'Accept: ,;q=/"\\,,*/\r\n' + END, {200}),
    ("accept of 8 kB", GET + b"Accept: " + b"a/b;q=0.1," * 800 + b"\r\n" + END, {200, 431}),
    ("accept nothing", GET + b"Accept: text/html;q=0\r\n" + END, {200}),
    ("encoding garbage", GET + b'Accept-Encoding: ;;;gzip;q="\r\n' + END, {200}),
    ("encoding of 8 kB", GET + b"Accept-Encoding: " + b"gzip;q=0.1," * 700 + b"\r\n" + END, {200, 431}),
    # bodies
    ("post", b"POST /metrics HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc", {405, 413, CLOSED}),
    ("put without length", b"PUT /metrics HTTP/1.1\r\n" + HOST + END, {405, 411, 413}),
    ("delete", b"DELETE / HTTP/1.1\r\n" + HOST + END, {405}),
    ("get with a body", GET + b"Content-Length: 3\r\n\r\nabc", {413, 400, CLOSED}),
    ("get with an empty body", GET + b"Content-Length: 0\r\n\r\n", {200}),
    ("length too large", GET + b"Content-Length: 99999999999999999999999\r\n\r\n", {400, 413, CLOSED}),
    ("length 2^64-1", GET + b"Content-Length: 18446744073709551615\r\n\r\n", {400, 413, CLOSED}),
    ("negative length", GET + b"Content-Length: -1\r\n\r\n", {400, 413, CLOSED}),
    ("length with plus", GET + b"Content-Length: +0\r\n\r\n", {400, 413, CLOSED}),
    ("length in hex", GET + b"Content-Length: 0x0\r\n\r\n", {400, 413, CLOSED}),
    ("empty length", GET + b"Content-Length:\r\n\r\n", {200, 400, 413, CLOSED}),
    ("two lengths", GET + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello", {400, 413, CLOSED}),
    ("length list", GET + b"Content-Length: 0, 5\r\n\r\nhello", {400, 413, CLOSED}),
    ("length and chunked", GET + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     {400, 413, CLOSED}),
    ("chunked", GET + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", {400, 413, CLOSED}),
    ("bad chunk", GET + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", {400, 413, CLOSED}),
    ("huge chunk", GET + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", {400, 413, CLOSED}),
    ("odd transfer encoding", GET + b"Transfer-Encoding: xchunked\r\n\r\n", {400, 413, 501, CLOSED}),
    ("identity", GET + b"Transfer-Encoding: identity\r\n\r\n", {200, 400, 413, 501, CLOSED}),
    ("expect", GET + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n", {413, 417, 400, CLOSED}),
    ("expect without body", GET + b"Expect: 100-continue\r\n\r\n", {200, 417}),
    ("body of 1 MB", b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000000,
     {405, 413, CLOSED}),
    # several at once
    ("pipelined", (GET + END) * 3, {200}),
    ("pipelined after a bad one", b"nonsense\r\n\r\n" + GET + END, BAD | {200}),
    ("smuggled", b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
     b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", {400, 405, 413, CLOSED}),
    ("200 pipelined", get(b"/-/healthy") * 200, {200}),
]


class Connection:
    """One connection, read answer by answer."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=TIMEOUT)
        self.data = b""
        self.ended = False

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # closed in the middle: what came back before still counts

    def more(self, timeout):
        """Reads on; False when nothing came in time."""
        self.socket.settimeout(timeout)
        try:
            chunk = self.socket.recv(65536)
        except socket.timeout:
            return False
        except OSError:
            chunk = b""
        self.ended = not chunk
        self.data += chunk
        return True

    def answer(self, head, timeout):
        """Status of the next answer, or CLOSED or OPEN. Raises ValueError where it is not HTTP."""
        while b"\r\n\r\n" not in self.data:
            if self.ended:
                if self.data:
                    raise ValueError("cut or no answer: %r" % self.data[:80])
                return CLOSED
            if not self.more(timeout):
                return OPEN
        text, self.data = self.data.split(b"\r\n\r\n", 1)
        match = re.match(rb"HTTP/1\.[01] (\d\d\d) [^\r\n]+(\r\n[!-9;-~]+: [^\r\n]*)*$", text)
        if not match:
            raise ValueError("malformed: %r" % text[:200])
        status = int(match[1])
        lengths = re.findall(rb"\r\nContent-Length: (\d+)", text)
        if status == 100:  # an invitation to send the body; the answer is still to come
            return self.answer(head, timeout)
        if len(lengths) != 1:
            raise ValueError("no single Content-Length: %r" % text[:200])
        length = 0 if head else int(lengths[0])
        while len(self.data) < length:
            if self.ended or not self.more(TIMEOUT):
                raise ValueError("body of %d bytes, not %d" % (len(self.data), length))
        self.data = self.data[length:]
        return status

    def close(self):
        self.socket.close()


def check(address, name, data, allowed):
    """None, or what went wrong."""
    connection = Connection(address)
    connection.send(data)
    try:
        head = data.startswith(b"HEAD ")
        result = connection.answer(head, PATIENCE if OPEN in allowed else TIMEOUT)
        if result not in allowed:
            return "%s: %s, not %s" % (name, result, sorted(map(str, allowed)))
        for _ in range(data.count(GET + END) + data.count(get(b"/-/healthy")) - 1):
            if result == CLOSED:
                break
            result = connection.answer(head, TIMEOUT)
            if result not in allowed:
                return "%s: then %s" % (name, result)
    except ValueError as error:
        return "%s: %s" % (name, error)
    finally:
        connection.close()
    return None


def check_service(address):
    """The server still serves, and an answer refused a body is the connection's last."""
    connection = Connection(address)
    connection.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    try:
        status = connection.answer(False, TIMEOUT)
        if status != 200:
            return "/metrics: %s" % status
        if connection.answer(False, TIMEOUT) != CLOSED:
            return "/metrics: bytes after the answer"
    except ValueError as error:
        return "/metrics: %s" % error
    finally:
        connection.close()
    return None


def run(address):
    passed = failed = 0
    for name, data, allowed in CASES:
        wrong = check(address, name, data, allowed)
        wrong = wrong or check_service(address)
        if wrong:
            print("FAIL", wrong if wrong.startswith(name) else "%s: afterwards %s" % (name, wrong))
            failed += 1
        else:
            passed += 1
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed else 0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def wait_for(address, process):
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        try:
            if check_service(address) is None:
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


def run_program(program):
    address = ("127.0.0.1", free_port())
    with subprocess.Popen([program, "--web.listen-address=127.0.0.1:%d" % address[1]]) as process:
        try:
            if not wait_for(address, process):
                print("FAIL %s does not serve\n0 passed, 1 failed, 0 skipped" % program)
                return 1
            result = run(address)
            if process.poll() is not None:
                print("FAIL %s ended with %d" % (program, process.returncode))
                result = 1
            return result
        finally:
            process.terminate()


def main():
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "--program":
        return run_program(arguments[1])
    if len(arguments) == 1 and ":" in arguments[0]:
        host, port = arguments[0].rsplit(":", 1)
        return run((host.strip("[]"), int(port)))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
