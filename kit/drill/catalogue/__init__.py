"""Every drill. Durations are those of the shipped rules."""

import importlib

ROOMS = ("process", "database", "delivery", "backup", "files", "api", "telemetry", "controls")

for _room in ROOMS:
    importlib.import_module(f"{__name__}.{_room}")
