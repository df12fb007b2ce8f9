"""Samples to medians with their interval, and tables to markdown. No third-party module."""

import json
import math
import os
import platform
import statistics


def interval(values):
    """The median and its 95 % interval by order statistics (no assumption about the noise).

    With fewer than FEWEST values no order statistics reach 95 %: the extremes are given, and
    nothing is judged by them.
    """
    values = sorted(values)
    n = len(values)
    median = statistics.median(values)
    low = 0
    # The widest cut from both ends that keeps P(median inside) >= 95 %.
    while low + 1 < n / 2 and 2 * sum(math.comb(n, k) for k in range(low + 2)) / 2**n <= 0.05:
        low += 1
    return median, values[low], values[n - 1 - low]


FEWEST = 6  # values whose extremes are a 95 % interval of the median
TOO_FEW = "too few rounds"


def at_most(values, limit):
    """Judges median(values) <= limit: missed only when the interval excludes it."""
    if len(values) < FEWEST:
        return TOO_FEW
    median, low, _ = interval(values)
    if median <= limit:
        return "met"
    return "missed" if low > limit else "not shown"


def at_least(values, limit):
    if len(values) < FEWEST:
        return TOO_FEW
    median, _, high = interval(values)
    if median >= limit:
        return "met"
    return "missed" if high < limit else "not shown"


def counted(value, limit):
    """Judges what is counted rather than timed (bytes, rows): once is enough."""
    return "met" if value <= limit else "missed"


def shown(values, digits=0, unit=""):
    median, low, high = interval(values)
    return f"{median:.{digits}f}{unit} [{low:.{digits}f}, {high:.{digits}f}]"


def table(title, head, rows):
    lines = [f"### {title}", "", "| " + " | ".join(head) + " |",
             "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def machine():
    model, cores = "unknown CPU", os.cpu_count()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        fields = {line.split(":")[0].strip(): line.split(":")[1].strip()
                  for line in file if ":" in line}
    model = fields.get("model name", model)
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(file.readline().split()[1]) / 2**20
    return (f"{model} (family {fields.get('cpu family')}, model {fields.get('model')}), "
            f"{cores} cores, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}, "
            f"load {os.getloadavg()[0]:.1f}")


def save(folder, name, data):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as file:
        json.dump({"machine": machine(), **data}, file, indent=1)
