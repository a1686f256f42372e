"""What bench/peers needs of the Python Swift beyond its own commands.

    launch ETC COMMAND ARGUMENT...     one of Swift's commands with swift.conf taken from ETC: it is read while the modules are
                                       imported, from /etc/swift, before the servers' own swift_dir is known
    fill ETC DEVICES CONTAINER ROWS    objects o-0, o-1, ... as rows in every database of a container that exists
"""
import glob
import importlib.metadata
import sys
import time

from swift.common import utils


def launch(command, *arguments):
    (entry,) = importlib.metadata.entry_points(group='console_scripts', name=command)
    sys.argv = [command, *arguments]
    sys.exit(entry.load()())


def fill(devices, container, rows):
    from swift.container.backend import ContainerBroker
    timestamp = utils.Timestamp(time.time()).internal
    empty = 'd41d8cd98f00b204e9800998ecf8427e'
    found = 0
    for path in glob.glob(devices + '/*/containers/*/*/*/*.db'):
        broker = ContainerBroker(path)
        if broker.get_info()['container'] != container:
            continue
        found += 1
        broker.merge_items([
            {'name': 'o-%d' % number, 'created_at': timestamp, 'size': 0, 'content_type': 'application/octet-stream',
             'etag': empty, 'deleted': 0, 'storage_policy_index': 0} for number in range(int(rows))])
    if found == 0:
        sys.exit('no database of %s below %s' % (container, devices))


if __name__ == '__main__':
    utils.set_swift_dir(sys.argv[2])
    {'launch': launch, 'fill': fill}[sys.argv[1]](*sys.argv[3:])
