"""The database, and the caches before it."""

from collections.abc import Iterator

from kit.drill.catalogue.common import Schema, through
from kit.drill.drill import drill
from kit.drill.proxy import Proxy
from kit.drill.scene import Scene
from kit.process import wait_until

# What every request that needs the database says while it is gone, once the outage itself no longer does.
OUTAGE = {
    "ConvokeRouteErrors": "routes fail without the database",
    "ConvokeDatabaseErrors": "so do operations",
}
LATE = "what was answered late; its page is held back by that of availability, and it outlasts both"


@drill(
    "postgres-killed",
    "PostgreSQL is killed",
    engine="postgres",
    expects={"ConvokeDatabaseUnreachable": "6m", "ConvokeApiAvailabilityBudgetBurn": "8m"},
    also=OUTAGE,
    clears="40m",
    core=True,
)
def postgres_killed(scene: Scene) -> Iterator[None]:
    assert scene.postgres is not None  # noqa: S101
    scene.postgres.program.kill()
    yield
    scene.postgres.start()


drill(
    "postgres-refusing",
    "PostgreSQL refuses every connection",
    engine="postgres",
    needs=("database proxy",),
    expects={"ConvokeDatabaseUnreachable": "6m", "ConvokeApiAvailabilityBudgetBurn": "8m"},
    also=OUTAGE,
    clears="40m",
)(through("database", Proxy.refuse))


drill(
    "postgres-slow",
    "Every query takes 0.3 s longer",
    engine="postgres",
    needs=("database proxy",),
    # To open a connection takes several trips, longer than the check of readiness waits: so they are open already.
    settings={"CONVOKE_DATABASE_MAX_CONNECTIONS": "40", "CONVOKE_DATABASE_MIN_CONNECTIONS": "30"},
    rate=8,
    expects={
        "ConvokeDatabaseSlow": "28m",
        "ConvokeApiReadLatencyBudgetBurn": "8m",
        "ConvokeApiReadLatencyBudgetBurn (ticket)": "8m",
        "ConvokeApiWriteLatencyBudgetBurn": "8m",
        "ConvokeApiWriteLatencyBudgetBurn (ticket)": "8m",
    },
    also={"ConvokeRouteSlow": "every route is slow"},
    patient=True,
    clears="7h",
)(through("database", lambda proxy: proxy.delay(0.3)))


@drill(
    "pool-exhausted",
    "A lock held by somebody else keeps every connection of the pool waiting",
    engine="postgres",
    # Five and eight seconds are minutes of the drill's clock: hardly anything would be answered while it lasts.
    settings={
        "CONVOKE_DATABASE_MAX_CONNECTIONS": "4",
        "CONVOKE_DATABASE_STATEMENT_TIMEOUT": "1s",
        "CONVOKE_DATABASE_ACQUIRE_TIMEOUT": "500ms",
    },
    expects={"ConvokeDatabasePoolSaturated": "15m", "ConvokeApiAvailabilityBudgetBurn": "15m"},
    also={
        "ConvokeDatabaseErrors": "statements run into their timeout, operations find no connection",
        "ConvokeDatabaseSlow": "they wait for the lock",
        "ConvokeRouteErrors": "so do the requests",
        "ConvokeRouteSlow": "those that were answered once the lock was gone",
        "ConvokeApiReadLatencyBudgetBurn (ticket)": LATE,
        "ConvokeApiWriteLatencyBudgetBurn (ticket)": LATE,
    },
    clears="40m",
)
def pool_exhausted(scene: Scene) -> Iterator[None]:
    lock = scene.hold("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
    yield
    lock.stop()


@drill(
    "sqlite-locked",
    "Another process holds the embedded database's lock",
    # Five seconds are more than three minutes of the drill's clock: too few attempts would be made to be noticed.
    settings={"CONVOKE_SQLITE_BUSY_TIMEOUT": "200ms"},
    expects={"ConvokeDatabaseErrors": "17m", "ConvokeApiAvailabilityBudgetBurn": "15m"},
    also={
        "ConvokeRouteErrors": "each route that writes fails",
        "ConvokeRouteSlow": "the same",
        "ConvokeDatabaseSlow": "operations wait for the lock",
        "ConvokeApiWriteLatencyBudgetBurn (ticket)": LATE,
    },
    clears="40m",
)
def sqlite_locked(scene: Scene) -> Iterator[None]:
    other = scene.sqlite()
    other.execute("BEGIN IMMEDIATE")
    yield
    other.close()


drill(
    "replica-cut-off",
    "One of two replicas is cut off from PostgreSQL",
    engine="postgres",
    needs=("second", "database proxy of one"),
    expects={"ConvokeNotReady": "8m"},
    also={
        "ConvokeInvalidationChannelLost": "it does not hear of changes either",
        "ConvokeDatabaseErrors": "what it does by itself, without requests, fails",
    },
)(through("database", Proxy.refuse))


@drill(
    "schema-behind",
    "A new version is started on a schema that was not brought up to date: no replica is ready",
    engine="postgres",
    expects={"ConvokeNoReplicaReady": "5m", "ConvokeMigrationMissing": "18m", "ConvokeNotReady": "8m"},
    held_back=("ConvokeMigrationMissing", "ConvokeNotReady"),
)
def schema_behind(scene: Scene) -> Iterator[None]:
    # What the service knows and the database's list does not.
    scene.sql(
        "CREATE TABLE kept AS SELECT * FROM _sqlx_migrations ORDER BY version DESC LIMIT 1",
        "DELETE FROM _sqlx_migrations WHERE version IN (SELECT version FROM kept)",
    )
    yield
    scene.sql("INSERT INTO _sqlx_migrations SELECT * FROM kept", "DROP TABLE kept")


@drill(
    "read-replica-down",
    "The read replica of PostgreSQL is killed",
    engine="postgres",
    needs=("read replica",),
    expects={"ConvokeReadReplicaDown": "13m"},
    also={"ConvokeDatabaseErrors": "each look whether it is back is an operation that fails"},
)
def read_replica_down(scene: Scene) -> Iterator[None]:
    assert scene.standby is not None  # noqa: S101
    scene.standby.kill()
    yield
    scene.standby.start()


@drill(
    "read-replica-late",
    "The read replica of PostgreSQL no longer replays",
    engine="postgres",
    needs=("read replica",),
    # 30 s of lag are not scaled: they are 20 minutes of the drill's clock.
    expects={"ConvokeReadReplicaLagging": "33m"},
)
def read_replica_late(scene: Scene) -> Iterator[None]:
    scene.standby_sql("SELECT pg_wal_replay_pause()")
    yield
    scene.standby_sql("SELECT pg_wal_replay_resume()")


@drill(
    "redis-down",
    "Redis is killed",
    engine="postgres",
    needs=("redis",),
    expects={"ConvokeRedisDown": "8m"},
    core=True,
)
def redis_down(scene: Scene) -> Iterator[None]:
    assert scene.redis is not None  # noqa: S101
    scene.redis.kill()
    yield
    scene.redis.start()


drill(
    "invalidation-lost",
    "The connection on which replicas hear of changes is cut, and a new one refused",
    engine="postgres",
    needs=("listen proxy",),
    expects={"ConvokeInvalidationChannelLost": "8m"},
)(through("listen", Proxy.refuse))


@drill(
    "writes-slow",
    "Each new event takes 0.7 s: a trigger that somebody left behind",
    engine="postgres",
    expects={"ConvokeApiWriteLatencyBudgetBurn": "8m", "ConvokeRouteSlow": "28m"},
    also={"ConvokeDatabaseSlow": "that statement is"},
    clears="40m",
)
def writes_slow(scene: Scene) -> Iterator[None]:
    slow = Schema(scene, "events", "PERFORM pg_sleep(0.7)")
    yield
    slow.drop()


@drill(
    "route-failing",
    "One route fails: the table that it alone reads is gone",
    engine="postgres",
    expects={
        "ConvokeRouteErrors": "17m",
        "ConvokeDatabaseErrors": "17m",
        "ConvokeApiAvailabilityBudgetBurn": "15m",
        "ConvokeApiAvailabilityBudgetBurn (ticket)": "15m",
    },
    patient=True,
    clears="7h",
)
def route_failing(scene: Scene) -> Iterator[None]:
    client = scene.client("keys")
    path = "/api/v1/api-keys/"
    status, _, _ = client.request("GET", path)
    assert status == 200, f"{path} answers {status}"  # noqa: S101
    scene.sql("ALTER TABLE api_keys RENAME TO api_keys_gone")
    scene.traffic(lambda: scene.witness.judge(path, *client.request("GET", path)), 0.5)
    yield
    scene.end_traffic()
    scene.sql("ALTER TABLE api_keys_gone RENAME TO api_keys")
    wait_until("the route", lambda: client.request("GET", path)[0] == 200, 10)


@drill(
    "route-slow",
    "One route is slow: what it reads takes 0.4 s",
    engine="postgres",
    rate=20,
    # It is a sixth of all reads here.
    expects={"ConvokeRouteSlow": "28m", "ConvokeApiReadLatencyBudgetBurn": "12m"},
    also={"ConvokeDatabaseSlow": "that statement is"},
    clears="40m",
)
def route_slow(scene: Scene) -> Iterator[None]:
    client = scene.client("keys")
    scene.sql(
        "ALTER TABLE api_keys RENAME TO api_keys_real",
        "CREATE VIEW api_keys AS SELECT * FROM api_keys_real WHERE (SELECT pg_sleep(0.4)) IS NOT NULL",
    )
    scene.traffic(lambda: client.request("GET", "/api/v1/api-keys/"), 0.5, clients=3)
    yield
    scene.end_traffic()
    scene.sql("DROP VIEW api_keys", "ALTER TABLE api_keys_real RENAME TO api_keys")
