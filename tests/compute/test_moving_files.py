"""Files that are moved about while folders are measured, and processes that stop for a moment or seem to have ended."""

from pathlib import Path

from modelyard.compute.supervisor.pausing import paused
from modelyard.compute.supervisor.system import descendants
from modelyard.compute.workload import MIB, Limits
from tests.compute.workshop import Workshop
from tests.waiting import wait_until

HOP = """
import ctypes, os, struct
libc = ctypes.CDLL(None)
for name in ["a", "b", *(f"d{number}" for number in range(500))]:
    os.mkdir(name)
watcher = libc.inotify_init()
names = {libc.inotify_add_watch(watcher, name.encode(), 0x10): name for name in "ab"}  # IN_CLOSE_NOWRITE

def measured():
    data = os.read(watcher, 65536)
    while data:
        watch, _, _, length = struct.unpack_from("iIII", data)
        data = data[16 + length:]
        yield names[watch]

*_, last = measured()  # by the supervisor, in the order in which it always goes
first = "a" if last == "b" else "b"
file = open(f"{last}/large", "wb")
place, hops = last, 0
while hops < 8:
    for name in measured():
        if name == place:
            continue
        os.rename(f"{place}/large", f"{name}/large")
        place = name
        if name == first:
            hops += 1
            file.write(bytes(4 * 2**20))
            file.flush()
print("hidden", os.fstat(file.fileno()).st_size // 2**20, "MiB")
"""
WITHOUT_LEADER = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60.5,)).start()
print("up", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_file_that_is_never_where_it_is_looked_for_counts(workshop: Workshop) -> None:
    ended, text = workshop.run(HOP, limits=Limits(disk_bytes=8 * MIB, time_limit_s=60, grace_s=0))
    assert ended.reason == "disk limit of 8 MiB exceeded", text


def test_a_paused_workload_goes_on(workshop: Workshop) -> None:
    workload_id = workshop.start_command(
        "/bin/sh", "-c", "sh -c 'while [ ! -e go ]; do sleep 0.01; done' & sh -c 'kill -STOP $$' & echo up; wait %1"
    )
    workshop.wait_for(workload_id, "up")
    root = workshop.executor.observe(workload_id).supervisor_pid
    assert root is not None

    def states() -> list[str]:
        below = descendants(descendants(root)[0])
        return [Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2][0] for pid in below]

    wait_until(lambda: states().count("T") == 1, 5, "a process to stop itself")
    with paused(descendants(root)[0]) as is_still:
        assert is_still
        assert set(states()) == {"T"}
    wait_until(lambda: states().count("T") == 1, 5, "the others to go on")
    (workshop.executor.work(workload_id) / "go").touch()
    assert workshop.wait(workload_id).exit_code == 0


def test_a_process_without_its_first_thread_ends_with_its_run(bare_workshop: Workshop) -> None:
    script = f"""
import subprocess, sys
options = dict(stdout=subprocess.PIPE, start_new_session=True, env={{}})
child = subprocess.Popen([sys.executable, "-c", {WITHOUT_LEADER!r}], **options)
print(child.stdout.readline().decode().strip(), child.pid)
"""
    ended, text = bare_workshop.run(script)
    assert ended.exit_code == 0, text
    up, pid = text.splitlines()[-1].split()
    assert up == "up"
    assert not Path(f"/proc/{pid}").exists()
