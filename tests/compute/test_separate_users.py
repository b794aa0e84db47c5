"""A server that is root gives each workload a user of its own, so that none uses up what the kernel counts by user."""

import os

import pytest

from modelyard.compute.isolation import WORKLOAD_UIDS
from tests.compute.workshop import Workshop

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root has other users to run workloads as")

PRELUDE = """
import ctypes, os, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
timer = ctypes.c_void_p()
held = []

def watch():
    return libc.inotify_init() >= 0

def send():
    pair = socket.socketpair()
    held.extend(pair)
    try:
        socket.send_fds(pair[0], [b"x"], [0] * 250)
    except OSError:
        return False
    return True

def queue():
    return libc.mq_open(b"/%d" % len(held), os.O_CREAT | os.O_RDWR, 0o600, None) >= 0 and not held.append(None)

def arm():
    return libc.timer_create(1, None, ctypes.byref(timer)) == 0
"""
EXHAUST = """
while {take}():
    pass
print("exhausted", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("take", ["watch", "send", "queue", "arm"])
def test_a_workload_exhausts_only_its_own(workshop: Workshop, take: str) -> None:
    attacker = workshop.start(PRELUDE + EXHAUST.format(take=take))
    workshop.wait_for(attacker, "exhausted")
    _, text = workshop.run(f"{PRELUDE}\nprint({take}())")
    assert text == "True\n"


def test_workloads_have_different_users(workshop: Workshop) -> None:
    started = [
        workshop.start("open('file', 'w').close()\nprint('made')\nimport time; time.sleep(60)") for _ in range(3)
    ]
    for workload_id in started:
        workshop.wait_for(workload_id, "made")
    owners = {(workshop.executor.work(workload_id) / "file").stat().st_uid for workload_id in started}
    assert len(owners) == 3
    assert owners <= set(WORKLOAD_UIDS)


def test_variables_are_hidden_from_others_without_a_sandbox(bare_workshop: Workshop) -> None:
    victim = bare_workshop.start(
        "print('up', flush=True)\nimport time; time.sleep(60)", secrets={"TOKEN": "hidden-one"}
    )
    bare_workshop.wait_for(victim, "up")
    spy = """
import glob
for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        print(b"hidden" + b"-one" in open(path, "rb").read())
    except OSError:
        pass
"""
    _, text = bare_workshop.run(spy)
    assert "False\n" in text  # its own
    assert "True\n" not in text
