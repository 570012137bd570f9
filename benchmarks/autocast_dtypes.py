#!/usr/bin/env python3
"""Writes which dtypes PyTorch's operators return under autocast, for tests/AccelerateSharp.Tests/Precision/AutocastParity.json.

    python autocast_dtypes.py FILE      covers the CPU, and CUDA where there is a GPU

Every row: operator, dtypes of the arguments, and for each device and autocast dtype what comes out ("error" where PyTorch refuses).
"""
import json
import sys

import torch
import torch.nn.functional as F

F32, BF16, F16, F64 = torch.float32, torch.bfloat16, torch.float16, torch.float64
NAMES = {F32: "Float32", BF16: "BFloat16", F16: "Float16", F64: "Float64", torch.int64: "Int64", torch.bool: "Bool"}

# Name, and what it computes from two square matrices (a is always the one whose dtype varies first).
OPERATORS = {
    "matmul": lambda a, b: torch.matmul(a, b),
    "mm": lambda a, b: torch.mm(a, b),
    "bmm": lambda a, b: torch.bmm(a.unsqueeze(0), b.unsqueeze(0)),
    "mv": lambda a, b: torch.mv(a, b[0]),
    "addmm": lambda a, b: torch.addmm(a, a, b),
    "baddbmm": lambda a, b: torch.baddbmm(a.unsqueeze(0), a.unsqueeze(0), b.unsqueeze(0)),
    "einsum": lambda a, b: torch.einsum("ij,jk->ik", a, b),
    "linear": lambda a, b: F.linear(a, b, b[0]),
    "conv1d": lambda a, b: F.conv1d(a.unsqueeze(0), b.unsqueeze(2)),
    "conv2d": lambda a, b: F.conv2d(a.view(1, 4, 2, 2), b.view(4, 4, 1, 1)),
    "conv_transpose2d": lambda a, b: F.conv_transpose2d(a.view(1, 4, 2, 2), b.view(4, 4, 1, 1)),
    "scaled_dot_product_attention": lambda a, b: F.scaled_dot_product_attention(a.view(1, 1, 4, 4), b.view(1, 1, 4, 4), b.view(1, 1, 4, 4)),
    "prelu": lambda a, b: F.prelu(a, b[0, :1]),
    "softmax": lambda a, b: F.softmax(a, 1),
    "log_softmax": lambda a, b: F.log_softmax(a, 1),
    "layer_norm": lambda a, b: F.layer_norm(a, [4], b[0], b[1]),
    "group_norm": lambda a, b: F.group_norm(a.view(1, 4, 4), 2),
    "batch_norm": lambda a, b: F.batch_norm(a, torch.zeros(4, device=a.device), torch.ones(4, device=a.device)),
    "rms_norm": lambda a, b: F.rms_norm(a, [4]),
    "cross_entropy": lambda a, b: F.cross_entropy(a, torch.zeros(4, dtype=torch.int64, device=a.device)),
    "nll_loss": lambda a, b: F.nll_loss(a, torch.zeros(4, dtype=torch.int64, device=a.device)),
    "mse_loss": lambda a, b: F.mse_loss(a, b),
    "l1_loss": lambda a, b: F.l1_loss(a, b),
    "smooth_l1_loss": lambda a, b: F.smooth_l1_loss(a, b),
    "huber_loss": lambda a, b: F.huber_loss(a, b),
    "kl_div": lambda a, b: F.kl_div(a, b, reduction="sum"),
    "cosine_similarity": lambda a, b: F.cosine_similarity(a, b),
    "binary_cross_entropy_with_logits": lambda a, b: F.binary_cross_entropy_with_logits(a, b.abs()),
    "sum": lambda a, b: a.sum(),
    "sum_dim": lambda a, b: a.sum(1),
    "prod": lambda a, b: a.prod(),
    "cumsum": lambda a, b: a.cumsum(0),
    "cumprod": lambda a, b: a.cumprod(0),
    "mean": lambda a, b: a.mean(),
    "var": lambda a, b: a.var(),
    "norm": lambda a, b: torch.norm(a),
    "exp": lambda a, b: a.exp(),
    "expm1": lambda a, b: a.expm1(),
    "log": lambda a, b: a.abs().log(),
    "log1p": lambda a, b: a.abs().log1p(),
    "pow": lambda a, b: a.pow(2),
    "rsqrt": lambda a, b: a.abs().rsqrt(),
    "reciprocal": lambda a, b: a.reciprocal(),
    "erfinv": lambda a, b: (a * 0).erfinv(),
    "acos": lambda a, b: (a * 0).acos(),
    "tan": lambda a, b: a.tan(),
    "sin": lambda a, b: a.sin(),
    "gelu": lambda a, b: F.gelu(a),
    "silu": lambda a, b: F.silu(a),
    "relu": lambda a, b: F.relu(a),
    "tanh": lambda a, b: a.tanh(),
    "sigmoid": lambda a, b: a.sigmoid(),
    "softplus": lambda a, b: F.softplus(a),
    "dropout": lambda a, b: F.dropout(a, 0.5),
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "addcmul": lambda a, b: torch.addcmul(a, b, b),
    "addcdiv": lambda a, b: torch.addcdiv(a, b, b.abs() + 1),
    "atan2": lambda a, b: torch.atan2(a, b),
    "cat": lambda a, b: torch.cat([a, b]),
    "stack": lambda a, b: torch.stack([a, b]),
    "dot": lambda a, b: torch.dot(a[0], b[0]),
    "cross": lambda a, b: torch.linalg.cross(a[:, :3], b[:, :3]),
    "index_put": lambda a, b: a.index_put((torch.tensor([0], device=a.device),), b[:1]),
    "scatter_add": lambda a, b: torch.scatter_add(a, 0, torch.zeros(4, 4, dtype=torch.int64, device=a.device), b),
    "grid_sample": lambda a, b: F.grid_sample(a.view(1, 1, 4, 4), b.view(1, 2, 4, 2), align_corners=False),
    "interpolate": lambda a, b: F.interpolate(a.view(1, 1, 4, 4), scale_factor=2, mode="bilinear"),
    "max_pool2d": lambda a, b: F.max_pool2d(a.view(1, 1, 4, 4), 2),
    "avg_pool2d": lambda a, b: F.avg_pool2d(a.view(1, 1, 4, 4), 2),
}


def result(operator, device, dtype, left, right):
    torch.manual_seed(0)
    a, b = torch.rand(4, 4, device=device).to(left), torch.rand(4, 4, device=device).to(right)
    try:
        with torch.autocast(device, dtype):
            return NAMES[operator(a, b).dtype]
    except RuntimeError:
        return "error"


def main():
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    rows = []
    for name, operator in OPERATORS.items():
        for left, right in [("narrow", "narrow"), (F32, F32), ("narrow", F32), (F64, F64)]:
            row = {"operator": name, "left": NAMES.get(left, left), "right": NAMES.get(right, right)}
            for device in devices:
                for dtype in (BF16, F16):
                    given = [dtype if one == "narrow" else one for one in (left, right)]
                    row[f"{device} {NAMES[dtype]}"] = result(operator, device, dtype, *given)
            rows.append(row)
    with open(sys.argv[1], "w") as file:
        file.write('{"torch": "%s", "rows": [\n' % torch.__version__)
        file.write(",\n".join(json.dumps(row) for row in rows))
        file.write("\n]}\n")
    print(f"{len(rows)} rows for {', '.join(devices)} with PyTorch {torch.__version__} in {sys.argv[1]}")


if __name__ == "__main__":
    main()
