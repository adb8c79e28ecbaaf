"""The store of files."""

from collections.abc import Callable, Iterator

from kit.client import event
from kit.drill.drill import drill
from kit.drill.scene import Scene


def _upload(scene: Scene) -> Callable[[], object]:
    client = scene.client("uploader")
    made = client.must("POST", "/events/", event("With files"))
    path = f"/api/v1/events/{made['id']}/attachments/"

    def upload() -> None:
        named = 'attachment; filename="a.txt"'
        answer = client.request("POST", path, b"some text\n", content_type="text/plain", content_disposition=named)
        scene.witness.judge(f"POST {path}", *answer)

    return upload


@drill(
    "s3-down",
    "The S3 server is away",
    needs=("s3",),
    settings={"CONVOKE_ATTACHMENTS_MAX_PER_EVENT": "10000"},
    # Uploads are a quarter of all requests here.
    expects={"ConvokeStorageFailing": "17m", "ConvokeApiAvailabilityBudgetBurn": "10m"},
    also={"ConvokeRouteErrors": "so do uploads"},
    clears="40m",
)
def s3_down(scene: Scene) -> Iterator[None]:
    upload = _upload(scene)
    upload()
    scene.proxies["s3"].refuse()
    scene.traffic(upload, 0.5, clients=3)
    yield
    scene.end_traffic()
    scene.proxies["s3"].heal()


@drill(
    "s3-slow",
    "Every call to S3 takes 3 s",
    needs=("s3",),
    settings={"CONVOKE_ATTACHMENTS_MAX_PER_EVENT": "10000"},
    expects={"ConvokeStorageSlow": "28m"},
    also={"ConvokeRouteSlow": "so are uploads"},
    clears="40m",
)
def s3_slow(scene: Scene) -> Iterator[None]:
    upload = _upload(scene)
    upload()
    scene.proxies["s3"].delay(3)
    scene.traffic(upload, 0.5, clients=10)
    yield
    scene.proxies["s3"].heal()
    scene.end_traffic()


@drill(
    "collection-stuck",
    "Files that nothing refers to have not been collected for a day, and cannot be",
    engine="postgres",
    needs=("s3",),
    settings={"CONVOKE_STORAGE_COLLECT_EVERY": "5s"},
    expects={"ConvokeFileCollectionStuck": "45m"},
    also={"ConvokeStorageFailing": "each search for them fails"},
)
def collection_stuck(scene: Scene) -> Iterator[None]:
    # A day of the shipped clock: waiting for it would take the drill 36 minutes. A collection would make up for it.
    scene.proxies["s3"].refuse()
    since = f"interval '{scene.pace.seconds('25h'):g} seconds'"
    scene.sql(f"UPDATE leases SET done_at = now() - {since} WHERE name = 'files.collect'")  # noqa: S608
    yield
    scene.proxies["s3"].heal()
