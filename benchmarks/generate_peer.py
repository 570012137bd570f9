"""Tokens per second of transformers' eager generate with random weights; see generate.sh.

    generate_peer.py [--preset 8b|1b|tiny] [--batch 1] [--prompt 128] [--new 128] [--rounds 3] [--cpu]
"""
import argparse
import statistics
import time

import torch
import transformers

SHAPES = {
    "8b": dict(vocab_size=128256, hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, intermediate_size=14336),
    "1b": dict(vocab_size=128256, hidden_size=2048, num_hidden_layers=16, num_attention_heads=32, intermediate_size=8192),
    "tiny": dict(vocab_size=1024, hidden_size=64, num_hidden_layers=2, num_attention_heads=8, intermediate_size=176),
}

parser = argparse.ArgumentParser()
parser.add_argument("--preset", default="8b")
for name, value in (("batch", 1), ("prompt", 128), ("new", 128), ("rounds", 3)):
    parser.add_argument("--" + name, type=int, default=value)
parser.add_argument("--cpu", action="store_true")
options = parser.parse_args()

device = "cpu" if options.cpu else "cuda"
config = transformers.LlamaConfig(
    **SHAPES[options.preset], num_key_value_heads=8, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=500000.0,
    bos_token_id=None, eos_token_id=None, pad_token_id=None)
torch.manual_seed(1)
torch.set_default_dtype(torch.bfloat16)
with torch.device(device):
    model = transformers.LlamaForCausalLM(config).eval()
tokens = torch.randint(0, config.vocab_size, (options.batch, options.prompt), device=device)
mask = torch.ones_like(tokens)
model.generation_config.eos_token_id = None


def seconds(count):
    start = time.perf_counter()
    text = model.generate(tokens, attention_mask=mask, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0).cpu()
    assert text.shape[1] == options.prompt + count, text.shape
    return time.perf_counter() - start


with torch.no_grad():
    seconds(16)
    first, whole = [], []
    for _ in range(options.rounds):
        first.append(seconds(1))
        whole.append(seconds(options.new))
a, b = statistics.median(first), statistics.median(whole)
print(f"RESULT transformers {options.preset} batch {options.batch} prompt {options.prompt} new {options.new} "
      f"tokens_per_second {options.batch * options.new / b:.1f} first_ms {1000 * a:.1f} next_ms {1000 * (b - a) / (options.new - 1):.2f}")
print(f"# torch {torch.__version__}, transformers {transformers.__version__}, {torch.cuda.get_device_name() if not options.cpu else 'cpu'}")
