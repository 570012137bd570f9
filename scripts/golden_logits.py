#!/usr/bin/env python3
"""Writes what Hugging Face's models compute, for tests/AccelerateSharp.Models.Tests/Golden.

    python3 scripts/golden_logits.py OUT [CASE ...]        needs torch and transformers (made with 5.17); float32 on the CPU, seconds

Each case is a tiny configuration. Weights and images come from a formula (`uniform`), which the tests compute too, so that a file holds
only the configuration and the expected values: logits at a few positions, the loss, the norm of every gradient, and greedy tokens.
"""
import json
import os
import sys
import traceback

import numpy
import torch
import transformers

MASK = numpy.uint64(0xFFFFFFFF)


def uniform(name, count):
    """`count` numbers in [-1, 1) that depend on a name alone, each exact in float32: FNV-1a of the name, then a mix of it with the index."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    x = (numpy.uint64(seed) + numpy.arange(count, dtype=numpy.uint64) * numpy.uint64(2654435761)) & MASK
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = ((x ^ (x >> numpy.uint64(shift))) * numpy.uint64(factor)) & MASK
    x ^= x >> numpy.uint64(16)
    return ((x >> numpy.uint64(8)).astype(numpy.float64) / 2**23 - 1).astype(numpy.float32)


def weight(name, shape):
    values = torch.from_numpy(uniform(name, int(numpy.prod(shape))))
    if len(shape) > 1:
        values = values * 0.25
    elif name.endswith("bias"):
        values = values * 0.125
    else:
        values = 1 + values * 0.25
    return values.reshape(shape)


SMALL = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
             max_position_embeddings=64, bos_token_id=None, eos_token_id=None, pad_token_id=None)


def rope(kind, theta=10000.0, **settings):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=theta, **settings))


def small(**changes):
    return {**SMALL, **changes}


ENCODER = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
               max_position_embeddings=40, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)

# name: (model class, config class, settings, tokens)
CASES = {
    "llama": ("LlamaForCausalLM", "LlamaConfig", small(**rope("default"), tie_word_embeddings=False), 12),
    "llama-bias": ("LlamaForCausalLM", "LlamaConfig", small(**rope("default"), attention_bias=True, mlp_bias=True, num_key_value_heads=2), 12),
    "llama-linear": ("LlamaForCausalLM", "LlamaConfig", small(**rope("linear", factor=4.0), num_key_value_heads=1), 12),
    "llama-dynamic": ("LlamaForCausalLM", "LlamaConfig", small(**rope("dynamic", factor=2.0), max_position_embeddings=16), 24),
    "llama-yarn": ("LlamaForCausalLM", "LlamaConfig", small(**rope("yarn", factor=4.0, original_max_position_embeddings=16)), 24),
    "llama3": ("LlamaForCausalLM", "LlamaConfig", small(
        **rope("llama3", 5000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16),
        num_key_value_heads=2, tie_word_embeddings=True), 24),
    "mistral": ("MistralForCausalLM", "MistralConfig", small(**rope("default"), num_key_value_heads=2, sliding_window=4, head_dim=16), 12),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", small(
        **rope("default", 1000000.0), num_key_value_heads=2, tie_word_embeddings=True, use_sliding_window=True, sliding_window=4,
        max_window_layers=1), 12),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", small(**rope("default", 1000000.0), num_key_value_heads=2, head_dim=16, tie_word_embeddings=False), 12),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", dict(
        vocab_size=61, n_embd=32, n_layer=3, n_head=4, n_positions=64, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=None, eos_token_id=None), 12),
    "bert": ("BertForSequenceClassification", "BertConfig", dict(**ENCODER, num_labels=3), 12),
    "bert-masked": ("BertForMaskedLM", "BertConfig", dict(**ENCODER), 12),
    "roberta": ("RobertaForSequenceClassification", "RobertaConfig", dict(
        **{**ENCODER, "max_position_embeddings": 42}, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5, num_labels=3), 12),
    "vit": ("ViTForImageClassification", "ViTConfig", dict(
        hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, image_size=16, patch_size=4, num_channels=3,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=5), 0),
}


def run(name):
    model_class, config_class, settings, time = CASES[name]
    config = getattr(transformers, config_class)(**settings)
    torch.manual_seed(0)
    model = getattr(transformers, model_class)(config).float().eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.copy_(weight(parameter_name, tuple(parameter.shape)))
    config.architectures = [model_class]
    result = dict(
        case=name, transformers=transformers.__version__, torch=torch.__version__,
        config=json.loads(config.to_json_string(use_diff=True)), parameters=[n for n, _ in model.named_parameters()])
    result["config"]["model_type"] = config.model_type

    causal = model_class.endswith("CausalLM") or model_class.startswith("GPT2")
    if time == 0:
        pixels = torch.from_numpy(uniform("pixel_values", 2 * 3 * 16 * 16)).reshape(2, 3, 16, 16)
        inputs, labels = dict(pixel_values=pixels), torch.tensor([1, 4])
        result["images"] = [2, 3, 16, 16]
    else:
        row = torch.arange(time)
        ids = torch.stack([(7 * row * row + 3 * row + 5) % 59 + 2, (5 * row * row + row + 17) % 59 + 2])
        mask = torch.ones_like(ids)
        # The second row is three tokens shorter: padded on the left where text is generated, else on the right.
        padding = slice(0, 3) if causal else slice(time - 3, time)
        ids[1, padding] = config.pad_token_id if getattr(config, "pad_token_id", None) is not None else 0
        mask[1, padding] = 0
        inputs = dict(input_ids=ids, attention_mask=mask)
        result.update(input_ids=ids.tolist(), attention_mask=mask.tolist())
        labels = torch.tensor([2, 0])
        if causal:
            inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
            result["position_ids"] = inputs["position_ids"].tolist()
        if causal or model_class == "BertForMaskedLM":
            labels = torch.where(mask == 1, ids, torch.full_like(ids, -100))
            # What would be predicted from padding says nothing.
            if causal:
                labels[1, 3] = -100
        if name.startswith("bert"):
            inputs["token_type_ids"] = (torch.arange(time) >= time // 2).long().expand(2, time).contiguous()
            result["token_type_ids"] = inputs["token_type_ids"].tolist()
    result["labels"] = labels.tolist()

    logits = model(**inputs).logits
    if logits.dim() == 3:
        result["positions"] = [3, time // 2, time - 4 if not causal else time - 1]
        logits = logits[:, result["positions"]]
    result["logits"] = [float(f"{value:.9g}") for value in logits.detach().flatten().tolist()]

    loss = model(**inputs, labels=labels).loss
    loss.backward()
    result["loss"] = loss.item()
    result["gradient_norms"] = {n: float(f"{p.grad.norm().item():.9g}") for n, p in model.named_parameters() if p.grad is not None}

    if causal:
        model.generation_config.eos_token_id = None
        with torch.no_grad():
            generated = model.generate(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=10, do_sample=False, pad_token_id=0)
        result["generated"] = generated[:, time:].tolist()
    return result


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else sys.exit(__doc__)
    os.makedirs(out, exist_ok=True)
    failed = 0
    for name in sys.argv[2:] or CASES:
        try:
            result = run(name)
        except Exception:
            failed += 1
            print(f"== {name} failed")
            traceback.print_exc(file=sys.stdout)
            continue
        with open(os.path.join(out, name + ".json"), "w") as file:
            json.dump(result, file, separators=(",", ":"))
            file.write("\n")
        print(f"{name}: loss {result['loss']:.6f}, {len(result['logits'])} logits, {len(result['parameters'])} parameters")
    print(f"{failed} cases failed" if failed else "all cases written")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
