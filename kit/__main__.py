"""`python -m kit COMMAND`: one word, one module with a `main(arguments) -> int`."""

import importlib
import sys

COMMANDS = {
    "generate": "write, or with --check compare, every generated file of the kit",
    "lint": "check rules, dashboards, runbooks and deployment files without running anything",
    "test_rules": "run promtool over the rules and their tests",
    "mutate_rules": "change each rule in turn; a test must notice each change",
    "contract": "hold instruments, dashboards, rules and runbooks against a running service",
    "load": "run the load tests against a service started here, and compare both sides' counts",
    "observe": "start Convoke, Prometheus, Alertmanager and a load on this machine, until interrupted",
    "drills": "put one fault after the other into a running stack, and see which alerts fire",
    "checklist": "run the deployment checklist from top to bottom against a service started here",
    "copy_bench": "copy 100,000 events from engine to engine and back, and compare",
    "files_bench": "move 10,000 files to a real S3 server while they are read, with a kill half-way",
    "upgrade_drill": "roll two replicas from the previous release to this one under load; no request may fail",
    "bench": "measure each operation on each engine beside its limits",
    "flames": "draw where the processor's time of a request goes, from a profile of the service's own",
    "instructions": "count the processor instructions of a request and compare them with what is committed",
    "bench_parts": "time the parts of a request that ask nobody",
    "recovery": "lose a database on each engine, restore it from its backup, and time that",
    "previews": "draw each dashboard from a real Prometheus after a real load",
}


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print("usage: python -m kit COMMAND [OPTION…]\n", file=sys.stderr)
        for name, what in COMMANDS.items():
            print(f"  {name:<14} {what}", file=sys.stderr)
        return 2
    command = importlib.import_module(f"kit.{sys.argv[1]}")
    return command.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
