#!/usr/bin/env python3
"""The parts of BigModel in Python: safetensors, transformers and Accelerate.

    bigmodel_peer.py write|load|offload --folder DIR [--small] [--device cuda|cpu] [--to cpu|disk] [--rounds 2] [--tokens 8]
"""
import argparse
import json
import os
import time

import torch
from safetensors.torch import load_file, save_file

parser = argparse.ArgumentParser()
parser.add_argument("part", choices=["write", "load", "offload"])
parser.add_argument("--folder", required=True)
parser.add_argument("--small", action="store_true")
parser.add_argument("--device", default="cuda")
parser.add_argument("--to", default="cpu")
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--tokens", type=int, default=8)
args = parser.parse_args()

device = torch.device("cuda:0" if args.device == "cuda" and torch.cuda.is_available() else "cpu")
if args.small:
    sizes = dict(vocab_size=1000, hidden_size=256, intermediate_size=896, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=2)
else:
    sizes = dict(vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=8192)


def synchronize():
    if device.type == "cuda":
        torch.cuda.synchronize()


def shapes():
    width, inner = sizes["hidden_size"], sizes["intermediate_size"]
    keys = width // sizes["num_attention_heads"] * sizes["num_key_value_heads"]
    yield "model.embed_tokens.weight", (sizes["vocab_size"], width)
    for i in range(sizes["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        for name, shape in [("self_attn.q_proj", (width, width)), ("self_attn.k_proj", (keys, width)), ("self_attn.v_proj", (keys, width)), ("self_attn.o_proj", (width, width)),
                            ("mlp.gate_proj", (inner, width)), ("mlp.up_proj", (inner, width)), ("mlp.down_proj", (width, inner)),
                            ("input_layernorm", (width,)), ("post_attention_layernorm", (width,))]:
            yield f"{layer}{name}.weight", shape
    yield "model.norm.weight", (width,)
    yield "lm_head.weight", (sizes["vocab_size"], width)


def write():
    os.makedirs(args.folder, exist_ok=True)
    torch.manual_seed(0)
    start = time.perf_counter()
    shards, size = [{}], 0
    for name, shape in shapes():
        weight = torch.ones(shape, dtype=torch.bfloat16) if len(shape) == 1 else (torch.randn(shape, dtype=torch.bfloat16, device=device) * 0.02).cpu()
        if size + weight.numel() * 2 > 5_000_000_000:
            shards.append({})
            size = 0
        shards[-1][name] = weight
        size += weight.numel() * 2
    index = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        save_file(shard, os.path.join(args.folder, file), metadata={"format": "pt"})
        index.update({name: file for name in shard})
    with open(os.path.join(args.folder, "model.safetensors.index.json"), "w") as file:
        json.dump({"metadata": {}, "weight_map": index}, file)
    print(f"written in {time.perf_counter() - start:.1f} s")


def load():
    files = sorted(os.path.join(args.folder, name) for name in os.listdir(args.folder) if name.endswith(".safetensors"))
    torch.zeros(1, device=device)
    for round in range(1, args.rounds + 1):
        synchronize()
        start = time.perf_counter()
        weights = {}
        for file in files:
            weights.update(load_file(file, device=str(device)))
        synchronize()
        seconds = time.perf_counter() - start
        print(f"RESULT load python {round} {sum(w.numel() * w.element_size() for w in weights.values()) / seconds / 2**30:.2f}")
        del weights


def offload():
    from accelerate import init_empty_weights, load_checkpoint_and_dispatch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**sizes, rms_norm_eps=1e-5, rope_theta=500000.0, tie_word_embeddings=False)
    main = 0 if device.type == "cuda" else "cpu"
    layers = config.num_hidden_layers
    map = {"model.embed_tokens": main, "model.norm": main, "model.rotary_emb": main, "lm_head": main}
    map.update({f"model.layers.{i}": main if i < layers // 2 else args.to for i in range(layers)})
    start = time.perf_counter()
    with init_empty_weights(include_buffers=False):
        model = LlamaForCausalLM(config).to(torch.bfloat16).eval()
    model = load_checkpoint_and_dispatch(model, args.folder, device_map=map, dtype=torch.bfloat16, offload_folder=os.path.join(args.folder, "offload_python"))
    synchronize()
    print(f"RESULT dispatch python {args.to} {time.perf_counter() - start:.2f}")
    tokens = torch.arange(1, 9, device=device).reshape(1, 8)
    times = []
    with torch.no_grad():
        for i in range(args.tokens + 2):
            synchronize()
            start = time.perf_counter()
            logits = model(tokens, use_cache=False).logits
            synchronize()
            if i >= 2:
                times.append((time.perf_counter() - start) * 1e3)
            sample = ",".join(f"{x:.3f}" for x in logits[0, -1, :: config.vocab_size // 20].float().tolist())
    times.sort()
    print(f"RESULT offload python {args.to} {times[len(times) // 2]:.2f} {sample}")


{"write": write, "load": load, "offload": offload}[args.part]()
