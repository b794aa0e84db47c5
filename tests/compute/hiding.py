"""Scripts that fill a disk with files that no folder and no table of descriptors shows."""

from typing import Final

from modelyard.compute.workload import MIB, Limits

DISK_LIMITS: Final = Limits(disk_bytes=6 * MIB, time_limit_s=30, grace_s=0)
MEMORY_LIMITS: Final = Limits(memory_bytes=96 * MIB, time_limit_s=30, grace_s=0)
MEASURED: Final = "disk limit of 6 MiB exceeded"
UNMEASURED: Final = "its use of the disk could not be measured: "
OUT_OF_MEMORY: Final = "memory limit of 96 MiB exceeded"
_FILL: Final = """
import array, ctypes, itertools, mmap, os, signal, socket, sys, threading, time
numbers = itertools.count()
def filled(size=10 * 2**20):
    name = f'f{next(numbers)}'
    fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o700)
    os.unlink(name)
    while size > 0: size -= os.write(fd, bytes(2**20))
    return fd
def sent(sender, fd, data=b'x', flags=0, *address):
    sender.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))], flags, *address)
    os.close(fd)
def wait():
    print('hidden', flush=True)
    time.sleep(60)
"""


def _script(text: str) -> str:
    return _FILL + text


ATTACKS: Final = {
    "stream": _script("a, b = socket.socketpair()\nsent(a, filled())\na.close()\nwait()"),
    "datagram": _script("a, b = socket.socketpair(type=socket.SOCK_DGRAM)\nsent(a, filled())\na.close()\nwait()"),
    "seqpacket": _script("a, b = socket.socketpair(type=socket.SOCK_SEQPACKET)\nsent(a, filled())\nwait()"),
    "behind other messages": _script(
        "a, b = socket.socketpair()\nfor n in range(50): a.send(b'y' * 300)\n"
        "sent(a, filled(2**20)); a.send(b'z'); sent(a, filled())\nwait()"
    ),
    "many small files": _script(
        "pairs = []\nwhile True:\n    pairs.append(socket.socketpair())\n    if len(pairs) > 40: wait()\n"
        "    for _ in range(20): sent(pairs[-1][0], filled(2**14))"
    ),
    "a bound datagram socket": _script(
        "b = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); b.bind('/run/modelyard/b')\n"
        "a = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\nsent(a, filled(), b'x', 0, '/run/modelyard/b')\nwait()"
    ),
    "sockets in sockets": _script(
        "a, b = socket.socketpair(); c, d = socket.socketpair(); e, f = socket.socketpair()\nsent(a, filled())\n"
        "a.close(); sent(c, b.detach()); c.close(); sent(e, d.detach()); e.close()\nwait()"
    ),
    "a socket in itself": _script(
        "a, b = socket.socketpair()\nsent(a, os.dup(b.fileno())); sent(a, filled())\n"
        "sent(a, os.dup(a.fileno()))\nwait()"
    ),
    "a process that cannot be dumped": _script(
        "ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\na, b = socket.socketpair()\nsent(a, filled())\nwait()"
    ),
    "an open file of one that cannot be dumped": _script(
        "fd = filled()\nctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\nwait()"
    ),
    "a main thread that has ended": _script(
        "def run():\n    filled()\n    wait()\nthreading.Thread(target=run).start()\n"
        "ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)"
    ),
    "a temporary file": _script(
        "fd = os.open('.', os.O_TMPFILE | os.O_RDWR)\nfor _ in range(10): os.write(fd, bytes(2**20))\nwait()"
    ),
    "an orphan": _script(
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: filled(); wait()\n    os._exit(0)\nwait()"
    ),
    "deep folders": _script(
        "for _ in range(30): os.mkdir('d' * 200); os.chdir('d' * 200)\n"
        "for n in range(10): open(f'f{n}', 'wb').write(bytes(2**20))\nwait()"
    ),
    "folders without end": _script(
        "while True:\n    os.mkdir('d'); os.chdir('d')\n    if next(numbers) == 2000: wait()"
    ),
    "a folder that is not to be listed": _script(
        "os.mkdir('d'); os.chdir('d')\nfor n in range(10): open(f'f{n}', 'wb').write(bytes(2**20))\n"
        "os.chmod('.', 0o300)\nwait()"
    ),
    "a folder that is not to be entered": _script(
        "os.mkdir('d'); os.chdir('d')\nfor n in range(10): open(f'f{n}', 'wb').write(bytes(2**20))\n"
        "os.chmod('.', 0o600)\nwait()"
    ),
    "a mapping": _script(
        "fd = filled()\nmap_file = ctypes.CDLL(None).mmap\nmap_file.restype = ctypes.c_void_p\n"
        "assert map_file(None, ctypes.c_size_t(4096), 1, 1, fd, ctypes.c_long(0)) > 0\nos.close(fd)\nwait()"
    ),
    "a mapping of a process whose main thread has ended": _script(
        "def run():\n    fd = filled()\n    map_file = ctypes.CDLL(None).mmap\n"
        "    map_file.restype = ctypes.c_void_p\n"
        "    assert map_file(None, ctypes.c_size_t(4096), 1, 1, fd, ctypes.c_long(0)) > 0\n"
        "    os.close(fd)\n    wait()\n"
        "threading.Thread(target=run).start()\n"
        "ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)"
    ),
    "a program that runs": _script(
        "fd = os.open('p', os.O_RDWR | os.O_CREAT, 0o700)\n"
        "os.write(fd, open('/usr/bin/sleep', 'rb').read())\nfor _ in range(10): os.write(fd, bytes(2**20))\n"
        "os.close(fd)\nif os.fork() == 0: os.execv('./p', ['sleep', '60'])\ntime.sleep(0.3); os.unlink('p')\nwait()"
    ),
}

OWN_TABLES: Final = {
    "a thread's own table": _script(
        "def run():\n    assert ctypes.CDLL(None).unshare(0x400) == 0\n    filled()\n    wait()\n"
        "threading.Thread(target=run).start()\nwait()"
    ),
    "a socket in a thread's own table": _script(
        "def run():\n    assert ctypes.CDLL(None).unshare(0x400) == 0\n    a, b = socket.socketpair()\n"
        "    sent(a, filled())\n    wait()\nthreading.Thread(target=run).start()\nwait()"
    ),
}
"""What threads hide that have descriptors of their own; in a sandbox the filter denies them the call."""

UNMEASURABLE: Final = {
    "a connection that is not accepted": _script(
        "a = socket.socket(socket.AF_UNIX); a.bind('/run/modelyard/a'); a.listen()\n"
        "b = socket.socket(socket.AF_UNIX); b.connect('/run/modelyard/a')\nsent(b, filled()); b.close()\nwait()"
    ),
    "an urgent message": _script("a, b = socket.socketpair()\nsent(a, filled(), b'x', socket.MSG_OOB)\nwait()"),
    "a listening socket in flight": _script(
        "a = socket.socket(socket.AF_UNIX); a.bind('/run/modelyard/a'); a.listen()\n"
        "b = socket.socket(socket.AF_UNIX); b.connect('/run/modelyard/a')\nsent(b, filled()); b.close()\n"
        "c, d = socket.socketpair(); sent(c, a.detach())\nwait()"
    ),
}

MEMORY_ATTACKS: Final = {
    "a memory file": _script("fd = os.memfd_create('m')\nwhile True: os.write(fd, bytes(2**20)); time.sleep(0.002)"),
    "a memory file in flight": _script(
        "a, b = socket.socketpair()\nwhile True:\n    fd = os.memfd_create('m')\n"
        "    for _ in range(8): os.write(fd, bytes(2**20)); time.sleep(0.002)\n    sent(a, fd)"
    ),
    "temporary files": _script(
        "while True:\n    with open(f'/tmp/f{next(numbers)}', 'wb') as f: f.write(bytes(2**20))\n    time.sleep(0.002)"
    ),
    "a process whose main thread has ended": _script(
        "def run():\n    held = []\n    while True: held.append(b'x' * 2**22); time.sleep(0.02)\n"
        "threading.Thread(target=run).start()\n"
        "ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)"
    ),
    "deleted temporary files": _script("os.chdir('/dev/shm')\nheld = [filled() for _ in range(12)]\nwait()"),
}
