"""How long the command takes to answer, as whole processes, beside a bare interpreter.

python benchmarks/startup.py [--repeat 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python_pass": [sys.executable, "-c", "pass"],
    "help_s": [sys.executable, "-m", "voxgan", "--help"],
    "info_model_s": [sys.executable, "-m", "voxgan", "info", "furniture"],
    "list_s": [sys.executable, "-m", "voxgan", "list"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(options.repeat + 1):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: round(statistics.median(values[1:]), 3) for name, values in seconds.items()}
    if options.json:
        print(json.dumps(medians))
        return
    for name, value in medians.items():
        print(f"{name:14}{value:8.3f} s")


if __name__ == "__main__":
    main()
