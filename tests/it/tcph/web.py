"""HTTP requests from inside a network namespace."""
import dataclasses
import http.client
import json


@dataclasses.dataclass(frozen=True)
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.body)


class _Connection(http.client.HTTPConnection):
    def __init__(self, netns, address, port, timeout):
        super().__init__(address, port, timeout=timeout)
        self._netns = netns

    def connect(self):
        self.sock = self._netns.socket(6 if ':' in self.host else 4)
        self.sock.settimeout(self.timeout)
        self.sock.connect((self.host, self.port))


def request(netns, port, path, method='GET', headers=None, body=None, address='127.0.0.1', timeout=5):
    """One request on a connection of its own; OSError if there is no answer."""
    connection = _Connection(netns, address, port, timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return Response(response.status, response.headers, response.read())
    finally:
        connection.close()
