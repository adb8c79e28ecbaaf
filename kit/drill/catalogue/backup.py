"""Backups."""

from collections.abc import Iterator
from pathlib import Path

from kit.drill.drill import drill
from kit.drill.scene import Scene

HERE = {"CONVOKE_BACKUP_TO": "file:backups"}


def _backups(scene: Scene) -> Path:
    return scene.service.folder / "backups"


@drill(
    "backup-failing",
    "Backups fail: what should be their folder is none",
    settings={**HERE, "CONVOKE_BACKUP_EVERY": "12s"},
    # The intervals of backups are settings, and not scaled: 12 s are 8 minutes of the drill's clock.
    expects={"ConvokeBackupFailed": "18m", "ConvokeBackupTooOld": "45m"},
    clears="75m",
)
def backup_failing(scene: Scene) -> Iterator[None]:
    folder = _backups(scene)
    aside = folder.rename(folder.with_name("backups-aside"))
    folder.write_text("not a folder")
    yield
    folder.unlink()
    aside.rename(folder)


@drill(
    "backup-too-old",
    "Nobody starts the backups any more",
    settings={**HERE, "CONVOKE_BACKUP_EXPECTED_EVERY": "5s"},
    expects={"ConvokeBackupTooOld": "28m"},
)
def backup_too_old(scene: Scene) -> Iterator[None]:
    assert scene.command("backup") == 0  # noqa: S101
    yield
    assert scene.command("backup") == 0  # noqa: S101


@drill(
    "backup-not-verified",
    "No backup is restored for a trial any more",
    settings={**HERE, "CONVOKE_BACKUP_VERIFIED_EVERY": "5s"},
    expects={"ConvokeBackupNotVerified": "45m"},
)
def backup_not_verified(scene: Scene) -> Iterator[None]:
    assert scene.command("backup", "--verify") == 0  # noqa: S101
    yield
    assert scene.command("backup", "--verify") == 0  # noqa: S101


@drill(
    "backup-damaged",
    "A byte of a backup is turned",
    settings=HERE,
    expects={"ConvokeBackupDamaged": "8m"},
    clears="65m",
)
def backup_damaged(scene: Scene) -> Iterator[None]:
    assert scene.command("backup") == 0  # noqa: S101
    newest = max(_backups(scene).iterdir(), key=lambda path: path.stat().st_mtime)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    assert scene.command("backup", "verify", str(newest)) == 1  # noqa: S101
    yield
