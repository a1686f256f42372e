#!/usr/bin/env python3
"""Makes memcache.json: what Swift's own client puts on the wire, and which servers it asks in which order.

Run with Swift 2.38.3 (PyPI: swift, eventlet) and no arguments, from this folder; prints the file:

    python3 memcache.py > memcache.json
"""
import io
import itertools
import json
import time

from swift.common import memcached

# Expiry of more than 30 days becomes a point in time: of this clock.
NOW = 1800000000
memcached.tm = type('Clock', (), {'time': staticmethod(lambda: NOW)})
KEYS = [
    'account/AUTH_test', 'container/AUTH_test/c1', 'container/AUTH_test/nope\u00fc', 'container/AUTH_test/\U0001f600',
    'shard-updating-v2/AUTH_test/shd', 'shard-listing-v2/AUTH_test/shd', '_cache_token/shard-updating-v2/AUTH_test/shd',
    'AUTH_/user/test:tester', 'AUTH_/token/AUTH_tk099f8fc30d4d46bdb5895a38262a8f6a', 'ratelimit/AUTH_test/c1',
    's3secret/AKIA', 'cname-www.example.com', '',
]
SERVERS = [
    ['127.0.0.1:9191'],
    ['127.0.0.1', '127.0.0.1:11211'],
    ['10.0.0.1:11211', '10.0.0.2:11211', '10.0.0.3:11211'],
    ['[fd00::1]:11211', 'cache-b.example.com:11211', '10.9.8.7:1', '10.9.8.7:2', 'cache-a.example.com'],
]


class Silent:
    """A logger with Swift's extra methods."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: None


class Recorder:
    """A connection that keeps what is sent and answers what it was told."""

    def __init__(self, replies):
        self.sent = b''
        self.replies = io.BytesIO(replies)

    def sendall(self, data):
        self.sent += data

    def readline(self):
        return self.replies.readline()

    def read(self, size):
        return self.replies.read(size)


class Pool:
    def __init__(self, recorder):
        self.recorder = recorder

    def get(self):
        return self.recorder, self.recorder

    def put(self, connection):
        pass


def servers_of(servers, key, tries):
    ring = memcached.MemcacheRing(servers, tries=tries, logger=Silent())
    asked = []
    for server in servers:
        ring._client_cache[server] = Pool(None)
    command = memcached.MemcacheCommand('get', key)
    for server, _, _ in ring._get_conns(command):
        asked.append(server)
    return asked


def wire(replies, call):
    ring = memcached.MemcacheRing(['a:1'], logger=Silent())
    recorder = Recorder(replies)
    ring._client_cache['a:1'] = Pool(recorder)
    result = call(ring)
    return {'sent': recorder.sent.decode('latin-1'), 'replies': replies.decode('latin-1'), 'result': result}


def main():
    info = {'status': 404, 'meta': {'colour': 'gr\u00fcn \U0001f600'}, 'read_acl': None, 'sysmeta': {}}
    hashed = {key: memcached.md5hash(key).decode() for key in ('k', 'm')}
    value = ('VALUE %s 2 13\r\n{"status": 1}\r\nEND\r\n' % hashed['k']).encode()
    two = ('VALUE %s 2 1\r\n1\r\nVALUE %s 0 2\r\nxy\r\nEND\r\n' % (hashed['m'], hashed['k'])).encode()
    pickled = ('VALUE %s 1 3\r\n(.x\r\nEND\r\n' % hashed['k']).encode()
    steps = {
        'set': wire(b'STORED\r\n', lambda r: r.set('k', info, time=6)),
        'set for 30 days': wire(b'STORED\r\n', lambda r: r.set('k', 1, time=2592000)),
        'set for longer': wire(b'STORED\r\n', lambda r: r.set('k', 1, time=2592001)),
        'set for ever': wire(b'STORED\r\n', lambda r: r.set('k', 'x', time=0)),
        'set text': wire(b'STORED\r\n', lambda r: r.set('k', '17', serialize=False, time=0)),
        'get': wire(value, lambda r: r.get('k')),
        'get pickled': wire(pickled, lambda r: r.get('k')),
        'get missing': wire(b'END\r\n', lambda r: r.get('k')),
        'delete': wire(b'NOT_FOUND\r\n', lambda r: r.delete('k')),
        'incr': wire(b'5\r\n', lambda r: r.incr('k', 2, time=3)),
        'incr new': wire(b'NOT_FOUND\r\nSTORED\r\n', lambda r: r.incr('k', 2, time=3)),
        'incr raced': wire(b'NOT_FOUND\r\nNOT_STORED\r\n9\r\n', lambda r: r.incr('k', 2, time=3)),
        'decr': wire(b'0\r\n', lambda r: r.decr('k', 7, time=3)),
        'decr new': wire(b'NOT_FOUND\r\nSTORED\r\n', lambda r: r.decr('k', 7, time=3)),
        'set_multi': wire(b'STORED\r\nSTORED\r\n', lambda r: r.set_multi({'k': [1], 'm': {'a': 'b'}}, 'server', time=60)),
        'get_multi': wire(two.replace(b'xy', b'12').replace(b' 0 2', b' 2 2'), lambda r: r.get_multi(['k', 'm', 'n'], 'server')),
    }
    print(json.dumps({
        'about': 'made by base/tests/vectors/memcache.py with Swift 2.38.3',
        'now': NOW,
        'keys': {key: memcached.md5hash(key).decode() for key in KEYS},
        'servers': [
            {'servers': servers, 'tries': tries, 'order': {key: servers_of(servers, key, tries) for key in KEYS}}
            for servers, tries in itertools.product(SERVERS, (3, 100))
        ],
        'wire': steps,
    }, indent=1, ensure_ascii=True))


main()
