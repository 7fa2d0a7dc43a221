"""The oracle: records of what `ss` from iproute2 shows in a namespace."""
import dataclasses
import re

_TIMER = re.compile(r'timer:\((\w+),([^,]*),(\d+)\)')
_DURATION = re.compile(r'(?:(\d+)min)?(?:(\d+)(?:\.(\d{3})ms|sec))?(?:(\d+)ms)?')
_INFO = re.compile(r'(?:^|\s)([a-z_]+):([^\s(]+)')


@dataclasses.dataclass(frozen=True)
class Record:
    """One socket. `timer` is on, keepalive, timewait, persist, or None; queues in bytes; inode 0 if nobody holds it.

    `info` has the `name:value` pairs of tcp_info as text: retrans, lastack, bytes_received, ...
    """
    state: str
    receive_queue: int
    send_queue: int
    local: str
    local_port: int
    remote: str
    remote_port: int
    timer: str | None
    timer_ms: int
    timer_retrans: int
    uid: int
    inode: int
    cookie: int
    cgroup: str
    info: dict

    def matches(self, **wanted):
        """matches(state='ESTAB', inode=bool): each field equals the value, or pleases the function."""
        for field, want in wanted.items():
            have = getattr(self, field)
            if not (want(have) if callable(want) else have == want):
                return False
        return True


def records(netns, *filters):
    """All TCP sockets of a namespace, listeners too; `filters` are words of ss's own language."""
    return [_parse(line) for line in netns.run('ss', '-tanHOeio', *filters).splitlines()]


def find(netns, **wanted):
    return [record for record in records(netns) if record.matches(**wanted)]


def count(netns, **wanted):
    """count(ns, state='CLOSE-WAIT', local_port=8080)"""
    return len(find(netns, **wanted))


def _parse(line):
    state, receive, send, local, remote, rest = (line + ' ').split(maxsplit=5)
    local, local_port = _endpoint(local)
    remote, remote_port = _endpoint(remote)
    timer = _TIMER.search(rest)
    info = dict(_INFO.findall(rest))
    return Record(state=state, receive_queue=int(receive), send_queue=int(send), local=local, local_port=local_port,
                  remote=remote, remote_port=remote_port, timer=timer[1] if timer else None,
                  timer_ms=_milliseconds(timer[2]) if timer else 0, timer_retrans=int(timer[3]) if timer else 0,
                  uid=int(info.get('uid', 0)), inode=int(info.get('ino', 0)), cookie=int(info.get('sk', '0'), 16),
                  cgroup=info.get('cgroup', ''), info=info)


def _endpoint(text):
    address, port = text.rsplit(':', 1)
    return address.strip('[]'), 0 if port == '*' else int(port)


def _milliseconds(text):
    """ss writes 119min, 1min59sec, 59sec, "9.204ms" for 9.204 seconds, and 204ms."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError(f'a duration of ss: {text!r}')
    minutes, seconds, fraction, milliseconds = (int(part or 0) for part in found.groups())
    return minutes * 60000 + seconds * 1000 + fraction + milliseconds
