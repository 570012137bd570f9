"""The PyTorch side of the DDP throughput comparison; benchmarks/DdpThroughput is its twin, line by line.

A small GPT on random tokens, forward, backward, AdamW; the same batch on every process, so one process and two do the
same work each and the difference is the cost of distributing. One process:

    ddp_peer.py --steps 60

Two processes, started by hand (or `ddp_peer.py --processes 2`, which starts them): RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
Prints one line of JSON on rank 0.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.perceptron_norm = nn.LayerNorm(width)
        self.perceptron_in = nn.Linear(width, 4 * width)
        self.perceptron_out = nn.Linear(4 * width, width)

    def forward(self, x):
        batch, time_, width = x.shape
        projected = self.attention_in(self.attention_norm(x))
        q, k, v = projected.view(batch, time_, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attention_out(mixed.transpose(1, 2).reshape(batch, time_, width))
        return x + self.perceptron_out(F.gelu(self.perceptron_in(self.perceptron_norm(x))))


class Gpt(nn.Module):
    def __init__(self, vocabulary, context, width, layers, heads):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def start_processes(arguments, count):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    workers = []
    for rank in range(count):
        environment = dict(os.environ, RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        workers.append(subprocess.Popen([sys.executable, __file__, *arguments], env=environment))
    return max(worker.wait() for worker in workers)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=96)
    options = parser.parse_args()
    if options.processes > 1 and "RANK" not in os.environ:
        sys.exit(start_processes(sys.argv[1:], options.processes))

    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    torch.manual_seed(0)
    model = Gpt(options.vocabulary, options.context, options.width, options.layers, options.heads)
    parameters = sum(p.numel() for p in model.parameters())
    if world_size > 1:
        dist.init_process_group("gloo")
        model = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    torch.manual_seed(1 + rank)
    tokens = torch.randint(0, options.vocabulary, (options.batch, options.context + 1))
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].reshape(-1)

    times, cpu_times = [], []
    for step in range(options.warm_up + options.steps):
        started, cpu = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets)
        loss.backward()
        optimizer.step()
        if step >= options.warm_up:
            times.append(time.perf_counter() - started)
            cpu_times.append(time.process_time() - cpu)

    if rank == 0:
        median = statistics.median(times)
        print(json.dumps({
            "library": "PyTorch " + torch.__version__,
            "processes": world_size,
            "threads": torch.get_num_threads(),
            "parameters": parameters,
            "batch_per_process": options.batch,
            "median_step_ms": round(1000 * median, 2),
            "median_cpu_ms": round(1000 * statistics.median(cpu_times), 2),
            "samples_per_second": round(world_size * options.batch / median, 2),
            "loss": round(loss.item(), 4),
        }))
    if world_size > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
