"""What `runner --help` costs beside a bare Typer program that has as many commands. Target: at most 1.3 times.

    python benchmarks/help.py [-n RUNS]

Prints medians and their ratio. Both are started by the same Python, in turns, so that a busy machine disturbs both.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

TARGET = 1.3
RUNNER = "import sys; sys.argv[0] = 'runner'; from runner.cli.app import main; main()"
BARE = """
import typer
app = typer.Typer(name="bare", help="A program that does nothing.", no_args_is_help=True, add_completion=False)
def command(name: str = typer.Argument(), flag: bool = typer.Option(False, "--flag", help="A flag.")) -> None:
    "Do nothing."
for number in range(5):
    app.command(f"command-{number}")(command)
app()
"""


def seconds(program: str) -> float:
    """Return the wall time of one `--help`, which must end well."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", program, "--help"], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> int:
    """Measure and print; exit 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=15, help="runs of each (15)")
    number = parser.parse_args().n
    for program in (RUNNER, BARE):
        seconds(program)  # bytecode
    taken: dict[str, list[float]] = {RUNNER: [], BARE: []}
    for _ in range(number):
        for program, all_of_it in taken.items():
            all_of_it.append(seconds(program))
    runner, bare = (statistics.median(taken[program]) for program in (RUNNER, BARE))
    ratio = runner / bare
    print(f"runner --help {runner * 1000:.0f} ms, a bare Typer program {bare * 1000:.0f} ms: ratio {ratio:.2f}")  # noqa: T201
    print(f"target: at most {TARGET}: {'met' if ratio <= TARGET else 'missed'} ({number} runs of each, medians)")  # noqa: T201
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
