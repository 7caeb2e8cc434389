"""`python -m tests.model`: search the protocol and its variants at a size of one's choice, and print what was found."""

import argparse
import sys
from time import perf_counter

import click

from tests.model.variants import VARIANTS, Variant
from tests.model.world import Size


def main() -> int:
    """Print a line for each variant; tell whether every verdict is the one that was foreseen."""
    asked = _arguments()
    size = Size(daemons=asked.daemons, claims=asked.claims, tasks=asked.tasks)
    click.echo("| variant | states | verdict | seconds |\n| --- | --- | --- | --- |")
    chosen = [variant for variant in VARIANTS if asked.only in str(variant)]
    as_foreseen = [_show(variant, size, with_way=asked.ways) for variant in chosen]
    return 0 if all(as_foreseen) else 1


def _show(variant: Variant, size: Size, *, with_way: bool) -> bool:
    begun = perf_counter()
    finding = variant.search(size)
    took = perf_counter() - begun
    click.echo(f"| {variant} | {finding.states:,} | {finding.verdict} | {took:.1f} |")
    if with_way:
        click.echo("".join(f"    {event}\n" for event in finding.way), nl=False)
    return finding.verdict is variant.verdict


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=main.__doc__)
    parser.add_argument("--daemons", type=int, default=3, help="at work at once (default: 3)")
    parser.add_argument("--claims", type=int, default=4, help="claims and takeovers in all (default: 4)")
    parser.add_argument("--tasks", type=int, default=2, help="tasks that the provider can have made (default: 2)")
    parser.add_argument("--only", default="", help="only variants whose name has this in it")
    parser.add_argument("--ways", action="store_true", help="print how each broken promise comes to be broken")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
