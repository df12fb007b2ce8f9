"""The core's pair against Floor(N). See floor.h for what the floor is."""

import json
import subprocess

import figures

BASE = 1_000  # credentials of the small case
PAIR_LIMIT = 6
GROWTH_LIMIT = 2


def tables(data):
    """Markdown of core_bench's output, and whether no target was missed."""
    samples = {}
    for s in data["samples"]:
        samples.setdefault(s["situation"], {})[(s["what"], s["credentials"])] = s["ns"]
    sizes = sorted({s["credentials"] for s in data["samples"]})
    rows, missed = [], False
    for situation, of in samples.items():
        for size in sizes:
            pair, floor = of[("pair", size)], of[("floor", size)]
            if ("grant", size) in of:  # a refusal beside a grant
                ratio = [p / g for p, g in zip(pair, of[("grant", size)])]
                target, verdict = "refusal <= grant", figures.at_most(ratio, 1)
            elif size == BASE:
                ratio = [p / f for p, f in zip(pair, floor)]
                target = f"pair <= {PAIR_LIMIT} floor"
                verdict = figures.at_most(ratio, PAIR_LIMIT)
            else:
                pair0, floor0 = of[("pair", BASE)], of[("floor", BASE)]
                # In nanoseconds, not as a ratio: for small N both differences are near 0.
                excess = [(p - p0) - GROWTH_LIMIT * (f - f0)
                          for p, p0, f, f0 in zip(pair, pair0, floor, floor0)]
                ratio = [p / f for p, f in zip(pair, floor)]
                target = f"excess {figures.shown(excess)} ns <= 0"
                verdict = figures.at_most(excess, 0)
            missed |= verdict == "missed"
            rows.append([situation, f"{size:,}", figures.shown(pair), figures.shown(floor),
                         figures.shown(ratio, 2), target, verdict])
            if ("stock", size) in of:  # a session's lease beside a unary pair
                stock = of[("stock", size)]
                rows.append([f"{situation}, from stock", f"{size:,}", figures.shown(stock),
                             figures.shown(floor),
                             figures.shown([s / p for s, p in zip(stock, pair)], 2),
                             "ratio: to the pair", ""])
    text = figures.table(
        f"Core: Acquire + Report, nanoseconds ({data['layout']} ids; excess = pair growth over "
        f"{BASE:,} less {GROWTH_LIMIT} times that of the floor)",
        ["situation", "credentials", "pair", "floor", "ratio", "target", "verdict"], rows)
    return text, not missed


def run(context):
    command = [context.program("core_bench"), "--rounds", str(context.rounds)]
    if context.smoke:
        command.append("--smoke")
    data = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    figures.save(context.out, "core", data)
    text, good = tables(data)
    print(text)
    return good
