#!/usr/bin/env python3
"""Writes src/AccelerateSharp.Models/Tokenizers/UnicodeDecompositions.txt from Python's Unicode database: unicode-tables.py > FILE

A line is a decomposition ("00C0=0041 0300"; "~" instead of "=": a compatibility one; "!": canonical, but never composed again)
or a run of characters of one combining class ("0300-0314:230").
"""
import sys
import unicodedata

print(f"# Unicode {unicodedata.unidata_version}: decompositions and combining classes. Written by scripts/unicode-tables.py.")
print("# Unicode Character Database, Copyright (C) 1991-2021 Unicode, Inc., Unicode License v3.")
for point in range(sys.maxunicode + 1):
    parts = unicodedata.decomposition(chr(point)).split()
    if not parts:
        continue
    if parts[0].startswith("<"):
        kind, parts = "~", parts[1:]
    else:
        composed = unicodedata.normalize("NFC", "".join(chr(int(p, 16)) for p in parts))
        kind = "=" if len(parts) == 2 and composed == chr(point) else "!"
    print(f"{point:04X}{kind}{' '.join(parts)}")

run = None
for point in range(sys.maxunicode + 2):
    klass = unicodedata.combining(chr(point)) if point <= sys.maxunicode else 0
    if run and (run[1] != klass):
        print(f"{run[0]:04X}-{point - 1:04X}:{run[1]}")
        run = None
    if klass and run is None:
        run = (point, klass)
