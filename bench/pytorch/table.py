#!/usr/bin/env python3
"""One table from the result files of bench/compare.sh: medians over the rounds, ratios of each round's two sides."""
import collections
import glob
import json
import statistics
import sys

LEVELS = ("avx512", "avx2", "plain")


def main(folder):
    rates, shares, ratios, peers = (collections.defaultdict(list) for _ in range(4))
    units = {}
    for path in sorted(glob.glob(f"{folder}/*.ours.json")):
        with open(path.replace("ours.json", "theirs.jsonl")) as file:
            theirs = {(r["Group"], r["Name"]): r["Value"] for r in map(json.loads, file)}
        with open(path) as file:
            ours = json.load(file)
        for r in ours:
            name, level = r["Name"].rsplit(" ", 1)
            assert level in LEVELS, r["Name"]
            key = (r["Group"], name, level)
            units[key] = r["Unit"]
            rates[key].append(r["Value"])
            shares[key].append(float(r["Share"]))
            peer = theirs.get((r["Group"], name.removesuffix(" winograd").removesuffix(" direct")))
            if peer is not None:
                peers[key].append(peer)
                ratios[key].append(r["Value"] / peer)
    print("| what | level | MdmNative | share of peak or copy | PyTorch | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    middle = statistics.median
    for key in rates:
        peer = f"{middle(peers[key]):.1f}" if peers[key] else ""
        ratio = f"{middle(ratios[key]):.2f}" if ratios[key] else ""
        print(f"| {key[0]} {key[1]} | {key[2]} | {middle(rates[key]):.1f} {units[key]} | {100 * middle(shares[key]):.0f} % "
              f"| {peer} | {ratio} |")


if __name__ == "__main__":
    main(sys.argv[1])
