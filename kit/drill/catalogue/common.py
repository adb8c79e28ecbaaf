"""What several drills do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kit.client import Caller, event
from kit.drill.drill import Fault
from kit.drill.proxy import Proxy
from kit.drill.scene import Scene


def through(name: str, spoil: Callable[[Proxy], None]) -> Fault:
    """The fault of a proxy that is spoilt, and healed."""

    def fault(scene: Scene) -> Iterator[None]:
        spoil(scene.proxies[name])
        yield
        scene.proxies[name].heal()

    return fault


class Schema:
    """A trigger before each new row of a table: something in the database that nobody of the service put there."""

    def __init__(self, scene: Scene, table: str, body: str, when: str = "") -> None:
        self.scene, self.table = scene, table
        scene.sql(
            f"CREATE FUNCTION drill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$",
            f"CREATE TRIGGER drill BEFORE INSERT ON {table} FOR EACH ROW {when} EXECUTE FUNCTION drill()",
        )

    def drop(self) -> None:
        """Takes it away."""
        self.scene.sql(f"DROP TRIGGER drill ON {self.table}", "DROP FUNCTION drill()")


@dataclass
class Party:
    """An event, who made it, and who is in it."""

    organizer: Caller
    guests: list[Caller]
    event: str

    def change(self) -> None:
        """Moves it: everybody in it is to be told."""
        self.organizer.request("PATCH", f"/api/v1/events/{self.event}", {"location": f"Pier {self._next()}"})

    def _next(self) -> int:
        self.changes += 1
        return self.changes

    changes: int = 0


def party(scene: Scene, guests: int) -> Party:
    """Somebody invites people, who accept."""
    organizer = scene.client("organizer")
    made = organizer.must("POST", "/events/", event("A party", visibility="public"))
    people = [scene.client(f"guest-{number}") for number in range(guests)]
    for one in people:
        organizer.must("POST", f"/events/{made['id']}/participants/", {"user_id": one.user["id"]})
    return Party(organizer, people, made["id"])
