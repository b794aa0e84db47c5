"""What this machine has to give to workloads."""

import functools
import os
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Machine:
    """The processors that this process may use, and the memory."""

    cpu_count: int
    memory_bytes: int

    def holds(self, cpu_count: int, memory_bytes: int) -> bool:
        """Whether one workload of this size fits. The kernel keeps some memory: 2 GiB are sold and 1.9 GiB are seen."""
        return cpu_count <= self.cpu_count and memory_bytes <= self.memory_bytes * 9 // 8


@functools.cache
def this_machine() -> Machine:
    return Machine(len(os.sched_getaffinity(0)), psutil.virtual_memory().total)
