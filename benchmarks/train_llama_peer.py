#!/usr/bin/env python3
"""The twin of benchmarks/TrainLlama with Accelerate and transformers: same shapes, tokens, optimizer and printed line.

    python train_llama_peer.py [--preset tiny|160m|1.5b|8b] [--batch 16] [--seq 1024] [--precision no|bf16|fp16|fp8]
        [--strategy none|ddp|fsdp|fsdp1|fsdp2] [--checkpointing] [--steps 20] [--warm-up 5] [--lr 1e-4] [--weights FOLDER] [--save FOLDER]
        [--offload] [--fused] [--parts 5]

--weights loads initial weights, --save writes those it made. Several processes: torchrun's environment variables.
"""
import argparse
import json
import time

import numpy
import torch
import transformers
from accelerate import Accelerator, FullyShardedDataParallelPlugin
from accelerate import __version__ as accelerate_version
from transformers import LlamaConfig, LlamaForCausalLM

SHAPES = {  # vocabulary, hidden, layers, heads, key-value heads, inner
    "tiny": (1024, 64, 2, 4, 2, 176),
    "160m": (32000, 768, 12, 12, 12, 2048),
    "1.5b": (32000, 2048, 28, 16, 16, 5504),
    "8b": (128256, 4096, 32, 32, 8, 14336),
}
BATCHES = 4


def make_tokens(block, batch, length, vocabulary, device):
    """A hash (splitmix64) of each token's place in the stream."""
    count = batch * length
    x = (numpy.arange(count, dtype=numpy.uint64) + numpy.uint64(block * count + 1)) * numpy.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    x = (x ^ (x >> numpy.uint64(31))) % numpy.uint64(vocabulary)
    return torch.from_numpy(x.astype(numpy.int64)).view(batch, length).to(device)


def timed(times, cuda, action):
    if cuda:
        torch.cuda.synchronize()
    started = time.perf_counter()
    result = action()
    if cuda:
        torch.cuda.synchronize()
    times.append(1000 * (time.perf_counter() - started))
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="160m", choices=SHAPES)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seq", type=int, default=1024)
    parser.add_argument("--precision", default="no")
    parser.add_argument("--strategy", default="none", choices=["none", "ddp", "fsdp", "fsdp1", "fsdp2"],
                        help="fsdp is fsdp2")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--fused", action="store_true", help="AdamW's fused kernel: without it the step needs another copy of the weights")
    parser.add_argument("--offload", action="store_true")
    parser.add_argument("--parts", type=int, default=5)
    parser.add_argument("--weights")
    parser.add_argument("--save")
    parser.add_argument("--cpu", action="store_true")
    args = parser.parse_args()

    plugin = None
    if args.strategy.startswith("fsdp"):
        plugin = FullyShardedDataParallelPlugin(
            fsdp_version=int(args.strategy[4:] or 2), auto_wrap_policy="transformer_based_wrap",
            transformer_cls_names_to_wrap=["LlamaDecoderLayer"], activation_checkpointing=args.checkpointing,
            cpu_offload=args.offload or None)
    accelerator = Accelerator(mixed_precision=args.precision, fsdp_plugin=plugin, cpu=args.cpu)
    device = accelerator.device
    torch.manual_seed(0)
    if args.weights:
        model = LlamaForCausalLM.from_pretrained(args.weights, dtype=torch.float32)
        vocabulary = model.config.vocab_size
    else:
        vocabulary, hidden, layers, heads, key_value_heads, inner = SHAPES[args.preset]
        config = LlamaConfig(
            vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=key_value_heads, intermediate_size=inner, max_position_embeddings=8192, rms_norm_eps=1e-5,
            use_cache=False, tie_word_embeddings=False)
        # Made where it computes, or minutes would go by on the CPU; the peak is reset after.
        with torch.device(device if plugin is not None else "cpu"):
            model = LlamaForCausalLM(config)
        if args.save and accelerator.is_main_process:
            model.save_pretrained(args.save)
    model.config.use_cache = False
    parameters = sum(parameter.numel() for parameter in model.parameters())
    config = model.config
    if args.checkpointing and plugin is None:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if plugin is None:
        model.to(device)
    model.train()
    if plugin is None or plugin.fsdp_version == 2:
        optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01, fused=args.fused or None)
        model, optimizer = accelerator.prepare(model, optimizer)
    else:
        model = accelerator.prepare(model)
        optimizer = accelerator.prepare(torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01, fused=args.fused or None))

    batches = [make_tokens(step * accelerator.num_processes + accelerator.process_index, args.batch, args.seq, vocabulary, device)
               for step in range(BATCHES)]
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    times, losses = [], []
    for step in range(args.warm_up + args.steps):
        if cuda:
            torch.cuda.synchronize()
        started = time.perf_counter()
        optimizer.zero_grad()
        tokens = batches[step % BATCHES]
        loss = model(input_ids=tokens, labels=tokens).loss
        accelerator.backward(loss)
        optimizer.step()
        if cuda:
            torch.cuda.synchronize()
        if step >= args.warm_up:
            times.append(1000 * (time.perf_counter() - started))
        if step < 5:
            losses.append(round(accelerator.reduce(loss.detach(), "mean").item(), 5))
        del loss

    # Where the time goes: the same with a wait after each part.
    parts = [[], [], []]
    for step in range(args.parts):
        optimizer.zero_grad()
        tokens = batches[step % BATCHES]
        loss = timed(parts[0], cuda, lambda: model(input_ids=tokens, labels=tokens).loss)
        timed(parts[1], cuda, lambda: accelerator.backward(loss))
        timed(parts[2], cuda, optimizer.step)
        del loss

    median = sorted(times)[len(times) // 2]
    per_second = 1000 * args.batch * args.seq / median
    operations = (6 * (parameters - config.vocab_size * config.hidden_size)
                  + 6 * config.num_hidden_layers * config.hidden_size * args.seq)
    if accelerator.is_main_process:
        print(json.dumps({
            "side": "PyTorch",
            "versions": f"torch {torch.__version__}, accelerate {accelerate_version}, transformers {transformers.__version__}",
            "preset": args.preset, "parameters": parameters, "precision": args.precision,
            "strategy": args.strategy + ("+checkpointing" if args.checkpointing else "") + ("+offload" if args.offload else ""), "optimizer": "adamw" + ("-fused" if args.fused else ""), "loss": "plain",
            "processes": accelerator.num_processes, "batch": args.batch, "seq": args.seq,
            "step_ms": round(median, 2),
            "forward_backward_optimizer_ms": [round(sorted(part)[args.parts // 2], 2) for part in parts if part],
            "tokens_per_second_per_gpu": round(per_second),
            "tflops_per_gpu": round(per_second * operations / 1e12, 1),
            "peak_allocated_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if cuda else None,
            "peak_reserved_gib": round(torch.cuda.max_memory_reserved() / 2**30, 2) if cuda else None,
            "memory_from": "torch.cuda", "losses": losses}))
    accelerator.end_training()


if __name__ == "__main__":
    main()
