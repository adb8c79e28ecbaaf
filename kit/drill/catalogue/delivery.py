"""Notifications."""

from collections.abc import Iterator

from kit.drill.catalogue.common import Schema, party
from kit.drill.drill import drill
from kit.drill.scene import Scene


@drill(
    "outbox-stuck",
    "No notification can be delivered: the table of notifications takes no rows",
    engine="postgres",
    expects={"ConvokeOutboxStuck": "18m"},
    also={
        "ConvokeDatabaseErrors": "each attempt is an operation that fails",
    },
)
def outbox_stuck(scene: Scene) -> Iterator[None]:
    there = party(scene, 4)
    broken = Schema(scene, "notifications", "RAISE EXCEPTION 'no room'")
    scene.traffic(there.change, 1)
    yield
    broken.drop()


@drill(
    "outbox-growing",
    "Notifications come in faster than they go out",
    engine="postgres",
    expects={"ConvokeOutboxGrowing": "50m"},
    also={
        "ConvokeDatabaseSlow": "what delivers is slow",
    },
    clears="90m",
)
def outbox_growing(scene: Scene) -> Iterator[None]:
    there = party(scene, 60)
    slow = Schema(scene, "notifications", "PERFORM pg_sleep(0.02)")
    scene.traffic(there.change, 0.5)
    yield
    scene.end_traffic()
    slow.drop()


@drill(
    "deliveries-late",
    "One notification after the other, each slow: they are attempted more than 30 s after their cause",
    engine="postgres",
    settings={"CONVOKE_OUTBOX_BATCH_SIZE": "1"},
    # 30 s of lag are not scaled: they are 20 minutes of the drill's clock.
    expects={"ConvokeDeliveryFreshnessBudgetBurn": "50m", "ConvokeDeliveryFreshnessBudgetBurn (ticket)": "50m"},
    also={
        "ConvokeOutboxGrowing": "what waits piles up",
        "ConvokeDatabaseSlow": "what delivers is slow",
    },
    patient=True,
    clears="8h",
)
def deliveries_late(scene: Scene) -> Iterator[None]:
    there = party(scene, 6)
    slow = Schema(scene, "notifications", "PERFORM pg_sleep(0.4)")
    scene.traffic(there.change, 0.5)
    yield
    scene.end_traffic()
    slow.drop()


@drill(
    "recipient-failing",
    "What is for one recipient fails for good",
    engine="postgres",
    settings={"CONVOKE_OUTBOX_MAX_ATTEMPTS": "3", "CONVOKE_OUTBOX_BACKOFF_BASE": "200ms"},
    expects={"ConvokeDeliveriesDead": "5m"},
    also={"ConvokeDatabaseErrors": "each attempt is an operation that fails"},
    clears="65m",
)
def recipient_failing(scene: Scene) -> Iterator[None]:
    there = party(scene, 2)
    unlucky = f"WHEN (NEW.recipient_id = '{there.guests[0].user['id']}')"
    broken = Schema(scene, "notifications", "RAISE EXCEPTION 'no such mailbox'", unlucky)
    there.change()
    yield
    broken.drop()
