#!/usr/bin/env python3
"""One table of single kernels: what `mdm profile --json` wrote to FOLDER/kernel-*.json beside FOLDER/kernels-peer.jsonl."""
import glob
import json
import sys

folder = sys.argv[1]
with open(folder + "/kernels-peer.jsonl", encoding="utf-8") as file:
    peers = {row["Name"]: row for row in map(json.loads, file)}
print("  kernel | us | TFLOP/s | GB/s | share of our roofline | PyTorch's time / ours | cuBLASLt's, cuDNN's")
for path in sorted(glob.glob(folder + "/kernel-*.json")):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    for row in data["rows"]:
        name = row["name"].replace(" bf16", "").replace(" silu", "").replace(" NN", "")
        peer, seconds = peers.get(name, {}), row["seconds"]
        ratio = f"{peer['Seconds'] / seconds:.2f}" if "Seconds" in peer else peer.get("Error", "-")[:60]
        print(f"  {name} | {seconds * 1e6:.1f} | {row['operations'] / seconds / 1e12:.1f} | {row['bytes'] / seconds / 1e9:.0f} | "
              f"{row['roofline']:.0%} | {ratio} | " + (f"{row['library_ratio']:.2f}" if "library_ratio" in row else "-"))
    if path.endswith("MatMul.json"):
        print(f"  ({data['device']}: {data['peak_flops'] / 1e12:.0f} TFLOP/s, {data['peak_bytes'] / 1e9:.0f} GB/s)")
