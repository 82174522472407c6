"""Timing and files shared by the PyTorch benchmarks. Results are JSON lines with the fields of Mdm.Bench's."""
import json
import struct
import time

import numpy as np
import torch

CPU_TIME = False


def set_up(threads, cpu_time):
    """cpu_time: one thread, and the time it ran rather than the time that passed; for busy machines."""
    global CPU_TIME
    CPU_TIME = cpu_time
    torch.set_num_threads(1 if cpu_time else threads)
    torch.manual_seed(1)


def now():
    return time.thread_time() if CPU_TIME else time.perf_counter()


def seconds(act, rounds=9, least=5e-3):
    """Seconds of one call: the median of rounds that each last `least` or longer."""
    act()
    start = now()
    act()
    calls = max(1, int(least / max(1e-7, now() - start)))
    times = []
    for _ in range(rounds):
        start = now()
        for _ in range(calls):
            act()
        times.append((now() - start) / calls)
    return sorted(times)[rounds // 2]


def emit(group, name, value, unit):
    print(json.dumps({"Group": group, "Name": name, "Value": value, "Unit": unit}), flush=True)


def read_safetensors(path):
    """{name: tensor} of a file of float32 tensors."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        start, data = file.tell(), {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            if entry["dtype"] != "F32":
                raise ValueError(f"{path}: {name} is {entry['dtype']}, expected F32")
            begin, end = entry["data_offsets"]
            file.seek(start + begin)
            data[name] = torch.from_numpy(np.frombuffer(file.read(end - begin), np.float32).copy()).reshape(entry["shape"])
        return data
