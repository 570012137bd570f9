#!/usr/bin/env python3
"""Prints lines of benchmarks/TrainLlama and its peer as a table: train_llama_table.py RESULTS.jsonl...

Ratios are to the peer's best of the same model, batch, processes and kind of run: below 1 is less time, less memory.
"""
import json
import sys

rows = [json.loads(line) for name in sys.argv[1:] for line in open(name)]


def kind(row):
    strategy = row["strategy"].replace("fsdp1", "fsdp").replace("fsdp2", "fsdp").replace("none", "ddp")
    return row["preset"], row["batch"], row["seq"], row["processes"], row["precision"], strategy


def ratio(row, name):
    peers = [peer[name] for peer in rows if peer["side"] == "PyTorch" and kind(peer) == kind(row) and peer[name]]
    return f"{row[name] / min(peers):.3f}" if row["side"] != "PyTorch" and peers and row[name] else ""


print("| | model | batch x seq | GPUs | precision | strategy | loss, optimizer | step ms (forward, backward, optimizer) | tokens/s/GPU | TFLOP/s "
      "| peak GiB | reserved GiB | step vs peer | peak vs peer | gathers under compute | first losses |")
print("|" + "---|" * 16)
for r in rows:
    gathers = f"{100 * r['gather_under_compute']:.0f} % of {r['gather_ms']} ms" if r.get("gather_ms") else ""
    print(f"| {r['side']} | {r['preset']} ({r['parameters']:,}) | {r['batch']} x {r['seq']} | {r['processes']} | {r['precision']} | {r['strategy']} "
          f"| {r['loss']}, {r['optimizer']} | {r['step_ms']} ({' '.join(str(x) for x in r['forward_backward_optimizer_ms'])}) "
          f"| {r['tokens_per_second_per_gpu']} | {r['tflops_per_gpu']} | {r['peak_allocated_gib']} | {r['peak_reserved_gib']} "
          f"| {ratio(r, 'step_ms')} | {ratio(r, 'peak_allocated_gib')} | {gathers} | {' '.join(str(round(x, 3)) for x in r['losses'][:5])} |")
