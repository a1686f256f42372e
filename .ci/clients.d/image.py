"""image.py push|pull|delete REGISTRY FILE [--through ENDPOINT]: one image through the HTTP API of a registry, without a Docker engine.

`push` makes layers (FILE keeps their digests), uploads one in a single request, one in chunks of several sizes with a look at how far it
came between them, one by mounting it from another repository, then the manifest under two tags. `pull` fetches all of it, the blobs from
ENDPOINT (a redirect to a signed URL leads there) and in ranges, and compares every digest. `delete` removes the manifest and the blobs.
"""
import argparse
import gzip
import hashlib
import io
import json
import random
import tarfile
import urllib.error
import urllib.parse
import urllib.request

MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
NAME = 'team/app'
OTHER = 'team/base'
TAGS = ['latest', 'v1.0']


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)


def ask(method, url, expected, body=None, **headers):
    headers = {name.replace('_', '-'): value for name, value in headers.items()}
    if body is not None:
        headers.setdefault('Content-Type', 'application/octet-stream')
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        answer = opener.open(request, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    content = answer.read()
    if answer.status not in expected:
        raise SystemExit(f'{method} {url}: {answer.status}, expected {expected}: {content[:300]}')
    return answer.status, answer.headers, content


def digest(content):
    return 'sha256:' + hashlib.sha256(content).hexdigest()


def layer(chance, sizes):
    """A tar.gz of files that do not compress."""
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode='w') as tar:
        for number, size in enumerate(sizes):
            entry = tarfile.TarInfo(f'opt/app/file-{number}')
            entry.size = size
            tar.addfile(entry, io.BytesIO(chance.randbytes(size)))
    return gzip.compress(tape.getvalue(), 1, mtime=0), digest(tape.getvalue())


class Registry:
    def __init__(self, url):
        self.url = url

    def at(self, path, name=NAME):
        return f'{self.url}/v2/{name}/{path}'

    def start(self, name, expected=(202,), query=''):
        status, headers, _ = ask('POST', self.at('blobs/uploads/' + query, name), expected, b'')
        return status, urllib.parse.urljoin(self.url, headers['Location'])

    def finish(self, url, content, body=b''):
        address = url + ('&' if '?' in url else '?') + urllib.parse.urlencode({'digest': digest(content)})
        _, headers, _ = ask('PUT', address, (201,), body)
        assert headers['Docker-Content-Digest'] == digest(content), headers

    def upload(self, name, content):
        self.finish(self.start(name)[1], content, content)

    def upload_in_chunks(self, name, content, sizes):
        url, at = self.start(name)[1], 0
        for size in [*sizes, len(content)]:
            piece = content[at:at + size]
            if not piece:
                break
            _, headers, _ = ask('PATCH', url, (202,), piece, Content_Range=f'{at}-{at + len(piece) - 1}')
            at += len(piece)
            url = urllib.parse.urljoin(self.url, headers['Location'])
            status, headers, _ = ask('GET', url, (204,))
            assert headers['Range'] == f'0-{at - 1}', (headers['Range'], at)
        self.finish(url, content)


def push(registry, file):
    chance = random.Random()
    small, big = layer(chance, [0, 1, 70_000]), layer(chance, [3_000_000] * 6)
    shared = layer(chance, [200_000, 5_242_880])
    config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {'Cmd': ['/opt/app/file-1']}, 'rootfs': {
        'type': 'layers', 'diff_ids': [small[1], big[1], shared[1]]}}).encode()
    blobs = [config, small[0], big[0], shared[0]]
    ask('HEAD', registry.at('blobs/' + digest(big[0])), (404,))
    registry.upload(NAME, config)
    registry.upload(NAME, small[0])
    # Below, at and beyond the driver's own chunk of 5 MiB.
    registry.upload_in_chunks(NAME, big[0], [1, 5_242_879, 5_242_880, 5_242_881])
    registry.upload(OTHER, shared[0])
    registry.start(NAME, (201,), '?' + urllib.parse.urlencode({'mount': digest(shared[0]), 'from': OTHER}))
    # An upload given up, and one whose bytes are not what was promised.
    ask('DELETE', registry.start(NAME)[1], (204,))
    url = registry.start(NAME)[1]
    ask('PUT', url + ('&' if '?' in url else '?') + 'digest=' + digest(b'right'), (400,), b'wrong')
    manifest = json.dumps({
        'schemaVersion': 2, 'mediaType': MANIFEST,
        'config': {'mediaType': 'application/vnd.docker.container.image.v1+json', 'size': len(config), 'digest': digest(config)},
        'layers': [{'mediaType': 'application/vnd.docker.image.rootfs.diff.tar.gzip', 'size': len(blob), 'digest': digest(blob)}
                   for blob in blobs[1:]]}, indent=3).encode()
    for tag in TAGS:
        _, headers, _ = ask('PUT', registry.at('manifests/' + tag), (201,), manifest, Content_Type=MANIFEST)
        assert headers['Docker-Content-Digest'] == digest(manifest), headers
    with open(file, 'w') as out:
        json.dump({'manifest': digest(manifest), 'blobs': [digest(blob) for blob in blobs]}, out)


def blob(registry, wanted, through, **headers):
    """Fetches a blob and follows at most one redirect, which must lead to `through`."""
    url = registry.at('blobs/' + wanted)
    status, answer, content = ask('GET', url, (200, 206, 307), **headers)
    if status == 307:
        url = answer['Location']
        status, answer, content = ask('GET', url, (200, 206), **headers)
    assert url.startswith(through), f'{url} is not at {through}'
    return status, content


def pull(registry, file, through):
    with open(file) as known:
        known = json.load(known)
    names = json.loads(ask('GET', registry.url + '/v2/_catalog', (200,))[2])['repositories']
    assert names == [NAME, OTHER], names
    tags = json.loads(ask('GET', registry.at('tags/list'), (200,))[2])['tags']
    assert sorted(tags) == TAGS, tags
    for reference in [*TAGS, known['manifest']]:
        _, headers, content = ask('GET', registry.at('manifests/' + reference), (200,), Accept=MANIFEST)
        assert digest(content) == known['manifest'], reference
    manifest = json.loads(content)
    parts = [manifest['config'], *manifest['layers']]
    assert [part['digest'] for part in parts] == known['blobs']
    for part in parts:
        _, headers, _ = ask('HEAD', registry.at('blobs/' + part['digest']), (200, 307))
        status, content = blob(registry, part['digest'], through)
        assert status == 200 and len(content) == part['size'] and digest(content) == part['digest'], part
        status, piece = blob(registry, part['digest'], through, Range='bytes=10-99')
        assert status == 206 and piece == content[10:100], part
    for entry, compressed in zip(json.loads(blob(registry, known['blobs'][0], through)[1])['rootfs']['diff_ids'], parts[1:]):
        assert digest(gzip.decompress(blob(registry, compressed['digest'], through)[1])) == entry


def delete(registry, file):
    with open(file) as known:
        known = json.load(known)
    ask('DELETE', registry.at('manifests/' + known['manifest']), (202,))
    for tag in TAGS:
        ask('GET', registry.at('manifests/' + tag), (404,), Accept=MANIFEST)
    for name in known['blobs']:
        ask('DELETE', registry.at('blobs/' + name), (202,))
        ask('GET', registry.at('blobs/' + name), (404,))
    ask('DELETE', registry.at('blobs/' + known['blobs'][-1], OTHER), (202,))


parser = argparse.ArgumentParser()
parser.add_argument('what', choices=['push', 'pull', 'delete'])
parser.add_argument('registry')
parser.add_argument('file')
parser.add_argument('--through')
options = parser.parse_args()
registry = Registry(options.registry)
if options.what == 'push':
    push(registry, options.file)
elif options.what == 'pull':
    pull(registry, options.file, options.through)
else:
    delete(registry, options.file)
