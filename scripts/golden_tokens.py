#!/usr/bin/env python3
"""Writes what Hugging Face's tokenizers library makes of the texts in the tests' cases.json.

    golden_tokens.py CASES.json VOCABULARIES > golden.json

VOCABULARIES is data/tokenizers: gpt2/{vocab.json,merges.txt}, bert-base-uncased/vocab.txt, mistral/tokenizer.json.
"""
import json
import sys
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer


def vocabulary(folder, name):
    if name == "gpt2":
        merges = (folder / "gpt2/merges.txt").read_text(encoding="utf-8").split("\n")
        return {"vocab": json.loads((folder / "gpt2/vocab.json").read_text(encoding="utf-8")),
                "merges": [line for line in merges if line and not line.startswith("#version")]}
    if name == "bert-base-uncased":
        lines = (folder / "bert-base-uncased/vocab.txt").read_text(encoding="utf-8").split("\n")
        return {"vocab": {token: i for i, token in enumerate(lines) if token}}
    model = json.loads((folder / "mistral/tokenizer.json").read_text(encoding="utf-8"))["model"]
    return {"vocab": model["vocab"], "merges": model["merges"]}


def build(case, folder):
    tokenizer = json.loads(json.dumps(case["tokenizer"]))
    tokenizer["model"].update(vocabulary(folder, case["vocabulary"]))
    return Tokenizer.from_str(json.dumps(tokenizer))


def around(**component):
    empty = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
             "post_processor": None, "decoder": None, "model": {"type": "WordLevel", "vocab": {"x": 0}, "unk_token": "x"}}
    return Tokenizer.from_str(json.dumps(empty | component))


def attempt(action):
    """A refusal is a result, too."""
    try:
        return action()
    except BaseException as error:  # the library's panics are no Exception
        print(error, file=sys.stderr)
        return None


def main():
    cases, folder = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2])
    golden = {"tokenizers": tokenizers.__version__, "encodings": {}, "pairs": {}, "truncations": {}, "decoded": {}, "pre_tokenizers": [], "normalizers": []}
    for name, case in cases["cases"].items():
        tokenizer = build(case, folder)
        golden["encodings"][name] = [attempt(lambda: tokenizer.encode(text, add_special_tokens=False).ids) for text in cases["texts"]]
        golden["decoded"][name] = [attempt(lambda: tokenizer.decode(ids, skip_special_tokens=True)) for ids in golden["encodings"][name]]
        pairs = [tokenizer.encode(*pair) for pair in cases["pairs"]]
        golden["pairs"][name] = [{"ids": pair.ids, "types": pair.type_ids} for pair in pairs]
        golden["truncations"][name] = []
        for pair, length in cases["truncations"]:
            tokenizer.enable_truncation(length, strategy="longest_first")
            golden["truncations"][name].append(attempt(lambda: tokenizer.encode(*cases["pairs"][pair]).ids))
    for spec in cases["pre_tokenizers"]:
        component = around(pre_tokenizer=spec).pre_tokenizer
        golden["pre_tokenizers"].append([attempt(lambda: [piece for piece, _ in component.pre_tokenize_str(text)]) for text in cases["texts"]])
    for spec in cases["normalizers"]:
        component = around(normalizer=spec).normalizer
        golden["normalizers"].append([attempt(lambda: component.normalize_str(text)) for text in cases["texts"]])
    print(json.dumps(golden, separators=(",", ":")))


main()
