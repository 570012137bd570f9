"""The all-reduce that GpuCheck measures, through PyTorch's process group: same buffers, same warm-up, same timing.

Started once for each rank with RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.
"""

import os
import statistics
import sys
import time

import torch
import torch.distributed as dist

WARM_UPS, RUNS = 5, 21


def main() -> None:
    backend = sys.argv[1] if len(sys.argv) > 1 else "nccl"
    sizes = [int(size) for size in sys.argv[2:]] or [1, 16, 256]
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    on_gpu = backend == "nccl"
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group(backend, device_id=device if on_gpu else None)
    if rank == 0:
        print(f"PyTorch {torch.__version__}, {backend}" + (f" {torch.cuda.nccl.version()}" if on_gpu else ""), flush=True)
    for size in sizes:
        buffer = torch.ones(size << 18, device=device)
        for _ in range(WARM_UPS):
            dist.all_reduce(buffer)
        times = []
        for _ in range(RUNS):
            dist.barrier()
            times.append(measure(buffer, on_gpu))
        milliseconds = statistics.median(times)
        bandwidth = (size << 20) / (milliseconds / 1000) * 2 * (world - 1) / world / (1 << 30)
        if rank == 0:
            print(f"all-reduce {size:5d} MB {milliseconds:7.3f} ms {bandwidth:8.1f} GiB/s", flush=True)
            print(f"RESULT pytorch {size} {bandwidth:.3f}", flush=True)
    dist.destroy_process_group()


def measure(buffer: torch.Tensor, on_gpu: bool) -> float:
    if not on_gpu:
        start = time.perf_counter()
        dist.all_reduce(buffer)
        return (time.perf_counter() - start) * 1000
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    dist.all_reduce(buffer)
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


if __name__ == "__main__":
    main()
