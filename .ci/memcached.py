"""What .ci/memcached looks at: Martlet, Swift's memcached client, and memcached itself. Ends what it started."""
import configparser
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

from swift.common import swob
from swift.common.memcached import MemcacheRing
from swift.common.middleware import ratelimit, tempauth
from swift.proxy.controllers.base import (headers_from_container_info, headers_to_account_info,
                                          headers_to_container_info)

MARTLET, WORK = sys.argv[1], sys.argv[2]
CLUSTER = os.path.join(WORK, 'cluster')
CORES, CONNECTIONS, LOAD, CONTAINERS = 2, 4, 64, 60
POOL_TIMEOUT = 1.0
GETS = int(os.environ.get('MEMCACHED_GETS', '100000'))
# Whether p99 under each fault is judged: only where nothing else runs on the machine does it say something.
JUDGES_TIME = os.environ.get('MEMCACHED_JUDGES_TIME') == '1'
# Requests of a phase, and how long anything may take before it counts as never.
PHASE, PATIENCE = 1000, 300
started = time.time()
children = []


def say(text):
    print('-- %4.0f s  %s' % (time.time() - started, text), flush=True)


def must(fact, text):
    if not fact:
        raise SystemExit('memcached: ' + str(text))


def until(holds, text):
    """Waits for what must become true; how soon says nothing."""
    end = time.time() + PATIENCE
    while not holds():
        must(time.time() < end, text)
        time.sleep(0.05)


class Silent:
    def __getattr__(self, name):
        return lambda *args, **kwargs: None


def free_port(host='127.0.0.1'):
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


class Memcached:
    """One server on a port of its own."""

    def __init__(self, host='127.0.0.1', extra=()):
        self.host, self.port, self.extra = host, free_port(host), list(extra)
        self.name = ('[%s]:%d' if ':' in host else '%s:%d') % (host, self.port)
        self.start()

    def start(self):
        user = ['-u', 'root'] if os.getuid() == 0 else []
        log = open(os.path.join(WORK, 'memcached.log'), 'ab')
        self.process = subprocess.Popen(
            ['memcached', '-l', self.host, '-p', str(self.port), '-U', '0', '-m', '32'] + user + self.extra, stderr=log)
        children.append(self.process)
        for _ in range(200):
            try:
                socket.create_connection((self.host, self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit('memcached: a server does not start')

    def kill(self):
        self.process.kill()
        self.process.wait()

    def signal(self, number):
        self.process.send_signal(number)


def request(endpoint, method, path, headers=None, body=None, connection=None):
    own = connection or http.client.HTTPConnection(endpoint, timeout=60)
    try:
        own.request(method, path, body=body, headers=headers or {})
        answer = own.getresponse()
        return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), answer.read()
    finally:
        if connection is None:
            own.close()


def martlet(*words):
    done = subprocess.run([MARTLET, *words], capture_output=True, text=True)
    return done.returncode, done.stdout.strip()


def up(servers):
    process = subprocess.Popen(
        [MARTLET, 'up', CLUSTER, '--port', '0', '--cores', str(CORES), '--devices', '3', '--memcached', ','.join(servers),
         '--max-memcache-connections', str(CONNECTIONS)],
        stdout=subprocess.PIPE, stderr=open(os.path.join(WORK, 'up.log'), 'wb'), text=True)
    children.append(process)
    said = {}
    for line in process.stdout:
        words = line.split()
        if len(words) == 2:
            said[words[0]] = words[1]
        if line.startswith('Ctrl-C'):
            break
    must('auth' in said, 'martlet up did not start')
    return said


def second_proxy(change):
    """A proxy of the same cluster whose configuration is changed by `change`; its endpoint."""
    with open(os.path.join(CLUSTER, 'etc', 'proxy.conf')) as source:
        text = source.read()
    port = free_port()
    text = re.sub(r'bind_port = \d+', 'bind_port = %d' % port, text)
    text = re.sub(r'metrics_bind = .*', 'metrics_bind = 127.0.0.1:%d' % free_port(), text)
    path = os.path.join(WORK, 'proxy-%d.conf' % port)
    with open(path, 'w') as target:
        target.write(change(text))
    log = open(os.path.join(WORK, 'proxy-%d.log' % port), 'wb')
    process = subprocess.Popen([MARTLET, 'proxy', path], stderr=log)
    children.append(process)
    endpoint = '127.0.0.1:%d' % port
    for _ in range(200):
        try:
            if request(endpoint, 'GET', '/healthcheck')[0] == 200:
                return endpoint, process
        except OSError:
            time.sleep(0.05)
    raise SystemExit('memcached: a second proxy does not start')


def metrics(address):
    text = request(address, 'GET', '/metrics')[2].decode()
    numbers = {}
    for line in text.splitlines():
        if not line.startswith('#'):
            name, value = line.rsplit(' ', 1)
            numbers[name] = int(value)
    return numbers


def total(numbers, name):
    return sum(value for key, value in numbers.items() if key.startswith(name + '{'))


class Load:
    """So many connections, each with one GET after the other of an object in any container."""

    def __init__(self, endpoint, token, objects):
        self.endpoint, self.objects, self.headers = endpoint, objects, {'X-Auth-Token': token}
        self.done, self.wrong, self.is_over = [], [], False
        self.threads = [threading.Thread(target=self.work, args=(number,), daemon=True) for number in range(LOAD)]
        for thread in self.threads:
            thread.start()

    def work(self, seed):
        chance = random.Random(seed)
        connection = http.client.HTTPConnection(self.endpoint, timeout=60)
        while not self.is_over:
            path = chance.choice(self.objects)
            start = time.time()
            try:
                status, _, body = request(self.endpoint, 'GET', path, self.headers, connection=connection)
            except Exception as error:
                self.wrong.append('%s: %r' % (path, error))
                return
            self.done.append((start, time.time() - start))
            if status != 200 or body != path.encode():
                self.wrong.append('%s: %s' % (path, status))

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join(60)
        must(not self.wrong, 'wrong answers under load: %s' % self.wrong[:5])

    def p99(self, since, until):
        times = sorted(took for start, took in list(self.done) if since <= start < until)
        must(times, 'no request in a phase')
        return times[len(times) * 99 // 100], len(times)


class Watch:
    """Counts the proxy's sockets to every server as the kernel shows them."""

    def __init__(self, pid, ports):
        self.pid, self.ports, self.most, self.looks, self.is_over = pid, ports, dict.fromkeys(ports, 0), 0, False
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        while not self.is_over:
            shown = subprocess.run(['ss', '-tnpH'], capture_output=True, text=True).stdout
            self.looks += 1
            mine = [line for line in shown.splitlines() if 'pid=%d,' % self.pid in line]
            for port in self.ports:
                count = sum(1 for line in mine if line.split()[4].endswith(':%d' % port))
                self.most[port] = max(self.most[port], count)
            time.sleep(0.02)

    def end(self):
        self.is_over = True
        self.thread.join(10)
        return self.most


def placement(servers, ring):
    for _ in range(30):
        key = 'container/AUTH_test/%d' % random.getrandbits(40)
        ours = martlet('memcache', '--servers', ','.join(servers), 'where', key)[1].split()
        from swift.common.memcached import MemcacheCommand
        theirs = []
        for server, fp, sock in ring._get_conns(MemcacheCommand('get', key)):
            theirs.append(server)
            ring._return_conn(server, fp, sock)
        must(ours == theirs, 'servers of %s: %s, Swift asks %s' % (key, ours, theirs))


def keys_both_ways(servers, ring):
    tool = ['memcache', '--servers', ','.join(servers)]
    values = {
        'AUTH_/token/AUTH_tk%032x' % random.getrandbits(128): [1895434142.5, 'test,test:tester,AUTH_test'],
        'AUTH_/user/test:tester': 'AUTH_tk0123',
        'shard-updating-v2/AUTH_test/shd': [['', '.shards_AUTH_test/shd-0'], ['obj\u00fc', '.shards_AUTH_test/shd-1']],
        'shard-listing-v2/AUTH_test/shd': [['', '.shards_AUTH_test/shd-0']],
        'account/AUTH_x': headers_to_account_info({}, 204),
        'container/AUTH_x/gr\u00fcn': headers_to_container_info({}, 204),
    }
    for key, value in values.items():
        plain = json.loads(json.dumps(value))
        ring.set(key, value, time=60)
        code, text = martlet(*tool, 'get', key)
        must(code == 0 and json.loads(text) == plain, '%s: Martlet reads %r' % (key, text))
        ring.delete(key)
        must(martlet(*tool, 'get', key)[0] == 1, '%s is still there' % key)
        must(martlet(*tool, 'set', key, json.dumps(plain))[0] == 0, '%s is not stored' % key)
        must(ring.get(key) == plain, '%s: Swift reads %r' % (key, ring.get(key)))
        must(martlet(*tool, 'delete', key)[0] == 0 and ring.get(key) is None, '%s is not removed' % key)


def facts_both_ways(endpoint, account, token, ring):
    """What the proxies themselves keep, in both directions."""
    headers = {'X-Auth-Token': token}
    name = account.rsplit('/', 1)[1]
    request(endpoint, 'GET', '%s/c0/o' % account, headers)
    until(lambda: ring.get('container/%s/c0' % name) and ring.get('account/%s' % name), 'facts of c0 are not kept')
    info = ring.get('container/%s/c0' % name)
    model = headers_to_container_info({}, 204)
    must(info and list(info) == list(model), 'container info of Martlet: %r' % info)
    must(headers_from_container_info(info) is not None, 'Swift cannot use %r' % info)
    must(info['meta'] == {'color': 'gr\u00fcn 0'} and info['status'] == 204, info)
    of_account = ring.get('account/%s' % name)
    must(of_account and list(of_account) == list(headers_to_account_info({}, 204)), 'account info: %r' % of_account)
    must(of_account['account_really_exists'] is True and int(of_account['container_count']) > 0, of_account)
    request(endpoint, 'GET', '%s/none/o' % account, headers)
    until(lambda: (ring.get('container/%s/none' % name) or {}).get('status') == 404, 'a missing container is not kept')

    # A proxy that has written nothing believes what Swift's proxies keep.
    other, process = second_proxy(lambda text: text)
    must(request(endpoint, 'POST', '%s/c1' % account, headers)[0] == 204, 'c1 is not written to')
    info['read_acl'] = '.r:*'
    ring.set('container/%s/c1' % name, info, time=60)
    must(request(other, 'GET', '%s/c1/o' % account)[0] == 200, 'the ACL that Swift keeps is not used')
    must(request(endpoint, 'GET', '%s/c1/o' % account)[0] == 401, 'the proxy that wrote believes another')
    ring.set('container/%s/c2' % name, headers_to_container_info({}, 404), time=60)
    must(request(other, 'PUT', '%s/c2/new' % account, headers, b'x')[0] == 404, 'what Swift keeps as missing is found')
    ghost = headers_to_account_info({'X-Account-Container-Count': '1', 'X-Account-Object-Count': '1',
                                     'X-Account-Bytes-Used': '1'}, 204)
    ring.set('account/AUTH_ghost', ghost, time=60)
    ring.set('container/AUTH_ghost/c', info, time=60)
    must(request(other, 'GET', '/v1/AUTH_ghost/c/o')[0] == 404, 'the account that Swift keeps is not used')
    must(request(other, 'GET', '/v1/AUTH_ghost2/c/o')[0] == 401, 'the check above can tell nothing')
    for key in ('c1', 'c2'):
        ring.delete('container/%s/%s' % (name, key))
    process.terminate()
    process.wait()


class Recorder:
    """What stands behind Swift's middleware here: says who came."""

    def __call__(self, env, start_response):
        start_response('200 OK', [])
        return [env.get('REMOTE_USER', '').encode()]


def through(app, ring, path, headers):
    """Status, headers and body of a request to Swift's middleware."""
    request = swob.Request.blank(path, environ={'swift.cache': ring}, headers=headers)
    answer = request.get_response(app)
    return answer.status_int, answer.headers, answer.body.decode()


def tokens_both_ways(endpoint, account, token, said, ring):
    """The tokens of Swift's tempauth and ours, in a cluster that changes from one to the other."""
    conf = configparser.RawConfigParser()
    conf.read(os.path.join(CLUSTER, 'etc', 'proxy.conf'))
    swifts = tempauth.filter_factory({}, **dict(conf.items('filter:tempauth')))(Recorder())
    status, _, groups = through(swifts, ring, account, {'X-Auth-Token': token})
    must(status == 200 and said['user'] in groups.split(','), 'Swift takes our token for %s %r' % (status, groups))
    status, _, _ = through(swifts, ring, account, {'X-Auth-Token': token[:-1] + 'z'})
    must(status == 401, 'Swift takes a token that is none')
    login = {'X-Auth-User': said['user'], 'X-Auth-Key': said['key']}
    _, headers, _ = through(swifts, ring, '/auth/v1.0', login)
    must(headers['X-Auth-Token'] == token, 'Swift does not give the token that we made, but %s' % headers['X-Auth-Token'])
    ring.delete('AUTH_/user/%s' % said['user'])
    _, headers, _ = through(swifts, ring, '/auth/v1.0', login)
    theirs = headers['X-Auth-Token']
    must(len(theirs) == len('AUTH_tk') + 32 and theirs != token, theirs)
    # New connections come to any core.
    for _ in range(8):
        must(request(endpoint, 'GET', account, {'X-Auth-Token': theirs})[0] == 200, 'the token that Swift made is refused')
    must(request(endpoint, 'GET', account, {'X-Auth-Token': theirs[:-1] + 'z'})[0] == 401, 'a token that is none is taken')
    expires, groups = ring.get('AUTH_/token/%s' % theirs)
    liar = 'AUTH_tk%032x' % random.getrandbits(128)
    ring.set('AUTH_/token/%s' % liar, [expires, groups + ',.reseller_admin'], time=60)
    must(request(endpoint, 'GET', account, {'X-Auth-Token': liar})[0] == 401, 'memcached makes a user more than he is')
    ring.set('AUTH_/token/%s' % liar, [time.time() - 1, groups], time=60)
    must(request(endpoint, 'GET', account, {'X-Auth-Token': liar})[0] == 401, 'a token is taken past its end')
    ring.delete('AUTH_/token/%s' % theirs)
    until(lambda: all(request(endpoint, 'GET', account, {'X-Auth-Token': theirs})[0] == 401 for _ in range(8)),
          'a token that memcached has no more is taken for ever')
    must(request(endpoint, 'GET', account, {'X-Auth-Token': token})[0] == 200, 'our own needs no memcached')


def rates_both_ways(account, token, ring):
    """One request in a hundred seconds: who counted first has the other refuse."""
    settings = {'account_ratelimit': '0.01', 'max_sleep_time_seconds': '1'}
    lines = ''.join('%s = %s\n' % item for item in settings.items())
    endpoint, process = second_proxy(lambda text: re.sub(r'(\npipeline = .*)\btempauth\b', r'\1ratelimit tempauth', text)
                                     + '\n[filter:ratelimit]\nuse = egg:swift#ratelimit\n' + lines)
    swifts = ratelimit.filter_factory({}, **settings)(Recorder())
    swifts.memcache_client = ring
    key = 'ratelimit/%s' % account.rsplit('/', 1)[1]

    def ours():
        return request(endpoint, 'PUT', '%s/rate' % account, {'X-Auth-Token': token})[0]

    def theirs():
        try:
            return swifts._get_sleep_time(key, 0.01)
        except ratelimit.MaxSleepTimeHitError:
            return 'refused'

    ring.delete(key)
    must(ours() in (201, 202) and theirs() == 'refused', 'Swift does not see what we counted')
    ring.delete(key)
    must(theirs() == 0 and ours() == 498, 'we do not see what Swift counted')
    ring.delete(key)
    must(ours() == 202, 'a counter that is gone refuses')
    process.terminate()
    process.wait()


def own_writes(endpoint, account, token, over, counted, wrong):
    """Changes who may read, and looks from new connections, on any core, whether it is so."""
    path = '%s/acl' % account
    headers = {'X-Auth-Token': token}
    while not over.is_set():
        for acl, expected in (('.r:*', 200), ('', 401)):
            try:
                status = request(endpoint, 'POST', path, dict(headers, **{'X-Container-Read': acl}))[0]
                seen = [request(endpoint, 'GET', path + '/o')[0] for _ in range(4)]
            except Exception as error:
                wrong.append(repr(error))
                return
            if status != 204 or seen != [expected] * 4:
                wrong.append('POST of X-Container-Read: %r says %d, then GETs say %s' % (acl, status, seen))
            counted.append(1)
        time.sleep(0.05)


def faults(load, servers, endpoint, account, token, address):
    wrong, writes, over = [], [], threading.Event()
    writer = threading.Thread(target=own_writes, args=(endpoint, account, token, over, writes, wrong), daemon=True)

    def phase(name, kind, least):
        """Goes on until so many more requests were answered, and memcached's counter `kind` has grown by `least`."""
        counter = 'martlet_memcache_%s_total' % kind
        start, before, count = time.time(), total(metrics(address), counter), len(load.done)
        until(lambda: load.wrong or wrong or len(load.done) >= count + PHASE and total(metrics(address), counter) >= before + least,
              '%s: no %d requests, or %s grew by less than %d' % (name, PHASE, counter, least))
        must(not wrong, 'own writes: %s' % wrong[:5])
        must(not load.wrong, 'wrong answers, %s: %s' % (name, load.wrong[:5]))
        p99, count = load.p99(start, time.time())
        grown = total(metrics(address), counter) - before
        say('%s: p99 %.0f ms of %d requests in %.0f s; %d %s' % (name, p99 * 1000, count, time.time() - start, grown, kind))
        return p99

    normal = phase('normal', 'hits', 100)
    writer.start()
    before, began = metrics(address), time.time()
    times = {}
    for server in servers:
        server.kill()
    times['killed'] = phase('killed', 'errors', 1)
    for server in servers:
        server.start()
    # Servers that failed are asked again after a minute, and know nothing at first.
    times['started again, empty'] = phase('started again, empty', 'hits', 100)
    for server in servers:
        server.signal(signal.SIGSTOP)
    times['frozen'] = phase('frozen', 'timeouts', 20)
    for server in servers:
        server.signal(signal.SIGCONT)
    times['thawed'] = phase('thawed', 'hits', 100)
    over.set()
    writer.join(60)
    must(not wrong and writes, 'own writes: %s' % wrong[:5])
    after = metrics(address)
    asked = total(after, 'martlet_facts_backend_requests_total') - total(before, 'martlet_facts_backend_requests_total')
    # Every name once per core and period, which memcached may shorten by a second, since it counts whole ones; a write makes its name
    # unknown on every core.
    periods = int((time.time() - began) / 58) + 1
    allowed = (CONTAINERS + 2) * CORES * periods + len(writes) * CORES
    say('memcached: %d hits, %d misses, %d timeouts, %d errors' % tuple(
        total(after, 'martlet_memcache_' + name) - total(before, 'martlet_memcache_' + name)
        for name in ('hits_total', 'misses_total', 'timeouts_total', 'errors_total')))
    say('%d writes seen by all; %d questions to the backends, at most %d' % (len(writes), asked, allowed))
    must(asked <= allowed, 'the backends were asked %d times, at most %d is right' % (asked, allowed))
    slow = {name: p99 for name, p99 in times.items() if p99 > 1.5 * normal + POOL_TIMEOUT}
    say('p99 within 1.5 times the normal and one pool_timeout: %s' % (slow or 'always'))
    must(not (JUDGES_TIME and slow), 'p99 is normally %.3f s; %s' % (normal, slow))


def futexes(endpoint, path, token, pid):
    """So many pipelined GETs of one object while strace counts."""
    line = ('GET %s HTTP/1.1\r\nHost: %s\r\nX-Auth-Token: %s\r\n\r\n' % (path, endpoint, token)).encode()
    host, port = endpoint.split(':')

    def gets(count, failures):
        with socket.create_connection((host, int(port)), 60) as connection:
            left = count
            while left > 0:
                batch = min(left, 20)
                connection.sendall(line * batch)
                came, seen = b'', 0
                while seen < batch:
                    piece = connection.recv(65536)
                    if not piece:
                        failures.append('closed')
                        return
                    came += piece
                    seen = came.count(b'HTTP/1.1 ')
                    if came.count(b'HTTP/1.1 200') != seen:
                        failures.append(came[:100])
                        return
                    # A head may be cut; what follows it is read with the next batch's first bytes otherwise.
                    while seen == batch and not came.endswith(path.encode()):
                        came += connection.recv(65536)
                left -= batch

    def run(count):
        failures = []
        threads = [threading.Thread(target=gets, args=(count // 8, failures)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        must(not failures, failures[:1])

    run(2000)
    report = os.path.join(WORK, 'strace.log')
    trace = subprocess.Popen(['strace', '-f', '-o', report, '-e', 'trace=futex,sendto,io_uring_enter', '-p', str(pid)],
                             stderr=subprocess.DEVNULL)
    children.append(trace)
    time.sleep(2)
    start = time.time()
    run(GETS)
    took = time.time() - start
    trace.send_signal(signal.SIGINT)
    trace.wait()
    # Threads of the pool wait on a futex, and do so again when strace comes and goes; what a core does is looked at.
    cores = set()
    for task in os.listdir('/proc/%d/task' % pid):
        with open('/proc/%d/task/%s/comm' % (pid, task)) as name:
            if re.fullmatch(r'proxy-\d+', name.read().strip()):
                cores.add(task)
    must(len(cores) == CORES, 'threads of the cores: %s' % cores)
    calls = dict.fromkeys(('futex', 'sendto', 'io_uring_enter'), 0)
    with open(report) as rows:
        for row in rows:
            task, called = row.split(None, 1)
            called = called.split('(', 1)[0]
            if task in cores and called in calls:
                calls[called] += 1
    say('%d GETs under strace in %.0f s; the cores called %s' % (GETS, took, calls))
    must(sum(calls.values()) > GETS / 1000, 'strace saw nothing: %r' % calls)
    must(calls['futex'] == 0, 'the cores called futex %d times in %d GETs' % (calls['futex'], GETS))


def encrypted(account, token):
    """TLS over IPv6, told by memcache.conf; a certificate that nobody vouches for is refused."""
    def make(*words):
        subprocess.run(['openssl', *words], check=True, capture_output=True, cwd=WORK)
    make('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '30', '-subj', '/CN=ca')
    make('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=memcached')
    with open(os.path.join(WORK, 'names'), 'w') as names:
        names.write('subjectAltName = IP:::1\n')
    make('x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '30',
         '-extfile', 'names', '-out', 'server.pem')
    make('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'other.key', '-out', 'other.pem', '-days', '30', '-subj', '/CN=other')
    server = Memcached('::1', ['-Z', '-o', 'ssl_chain_cert=%s/server.pem,ssl_key=%s/server.key' % (WORK, WORK)])
    for authority, hits in (('ca.pem', True), ('other.pem', False)):
        with open(os.path.join(CLUSTER, 'etc', 'memcache.conf'), 'w') as conf:
            conf.write('[memcache]\nmemcache_servers = %s\nmemcache_max_connections = 2\ntls_enabled = yes\n'
                       'tls_cafile = %s/%s\n' % (server.name, WORK, authority))
        plain = lambda text: re.sub(r'(memcache_servers|max_memcache_connections) = .*\n', '', text)
        endpoint, process = second_proxy(plain)
        address = re.search(r'metrics_bind = (\S+)', open(os.path.join(WORK, 'proxy-%s.conf' % endpoint.split(':')[1])).read()).group(1)
        for _ in range(20):
            must(request(endpoint, 'GET', '%s/c0/o' % account, {'X-Auth-Token': token})[0] == 200, 'a GET over TLS')
        settled = 'martlet_memcache_%s_total' % ('exchanges' if hits else 'errors')
        until(lambda: total(metrics(address), settled) > 0, '%s stays at zero with %s' % (settled, authority))
        numbers = metrics(address)
        done = total(numbers, 'martlet_memcache_exchanges_total')
        say('TLS over IPv6, %s: %d exchanges, %d errors' % (authority, done, total(numbers, 'martlet_memcache_errors_total')))
        must((done > 0) == hits, 'exchanges with %s: %d' % (authority, done))
        process.terminate()
        process.wait()
    os.remove(os.path.join(CLUSTER, 'etc', 'memcache.conf'))


def main():
    servers = [Memcached() for _ in range(3)]
    names = [server.name for server in servers]
    ring = MemcacheRing(names, logger=Silent())
    say('placement and values')
    placement(names, ring)
    keys_both_ways(names, ring)

    said = up(names)
    auth = urllib.parse.urlsplit(said['auth'])
    endpoint, address = auth.netloc, urllib.parse.urlsplit(said['metrics']).netloc
    _, headers, _ = request(endpoint, 'GET', auth.path, {'X-Auth-User': said['user'], 'X-Auth-Key': said['key']})
    token, account = headers['x-auth-token'], urllib.parse.urlsplit(headers['x-storage-url']).path
    mine = {'X-Auth-Token': token}
    objects = []
    for name in ['c%d' % number for number in range(CONTAINERS)] + ['acl']:
        color = ('gr\u00fcn %s' % name[1:]).encode().decode('latin-1')
        must(request(endpoint, 'PUT', '%s/%s' % (account, name), dict(mine, **{'X-Container-Meta-Color': color}))[0] == 201, name)
        path = '%s/%s/o' % (account, name)
        must(request(endpoint, 'PUT', path, mine, path.encode())[0] == 201, path)
        objects.append(path)
    objects.remove('%s/acl/o' % account)
    facts_both_ways(endpoint, account, token, ring)
    say('tokens and rates')
    tokens_both_ways(endpoint, account, token, said, ring)
    rates_both_ways(account, token, ring)

    # What was just written is not looked up in memcached for a minute and a few seconds.
    say('waiting until memcached is believed again')
    time.sleep(68)
    pid = int(open(os.path.join(CLUSTER, 'run', 'proxy.pid')).read())
    say('load on %d connections; servers killed, frozen, started again' % LOAD)
    watch = Watch(pid, [server.port for server in servers])
    load = Load(endpoint, token, objects)
    faults(load, servers, endpoint, account, token, address)
    load.end()
    most = watch.end()
    say('%d requests; the most sockets to a server: %s of %d, in %d looks' % (len(load.done), list(most.values()), CONNECTIONS, watch.looks))
    must(max(most.values()) <= CONNECTIONS and max(most.values()) > 0, most)
    code, text = martlet('recon', CLUSTER, '--memcache', '--json')
    must(code == 0 and len(json.loads(text)) == CORES, text)
    for core in json.loads(text):
        for server in core['servers']:
            must(server['connections_most'] <= server['connections_limit'] == CONNECTIONS // CORES, server)
    print(martlet('recon', CLUSTER, '--memcache')[1])

    futexes(endpoint, objects[0], token, pid)
    encrypted(account, token)
    say('done')


try:
    main()
finally:
    for child in reversed(children):
        if child.poll() is None:
            child.send_signal(signal.SIGCONT)
            child.terminate()
    for child in children:
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
