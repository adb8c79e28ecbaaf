"""What must raise no alarm, and what the drills themselves must notice."""

from collections.abc import Iterator

from kit.drill.catalogue.process import killed
from kit.drill.drill import Drill, add, drill
from kit.drill.scene import Scene

add(Drill("control", "No fault: the load alone", None, hold="60m", core=True))
add(Drill("control-postgres", "No fault: the load alone, on PostgreSQL", None, engine="postgres", hold="60m"))


@drill("planned-restart", "The only replica is stopped (SIGTERM) and started again", hold="20m", serves=False)
def planned_restart(scene: Scene) -> Iterator[None]:
    scene.service.restart()
    scene.witness.alive = True
    yield


@drill(
    "deployment",
    "Two replicas are replaced one after the other",
    engine="postgres",
    needs=("second",),
    hold="20m",
    serves=False,
)
def deployment(scene: Scene) -> Iterator[None]:
    for service in scene.services:
        service.restart()
    scene.witness.alive = True
    yield


# Nobody would notice in production that this rule selects nothing: the drill must.
add(
    Drill(
        "broken-rule",
        "The service is killed, and the rule that should say so selects a job that does not exist",
        killed,
        expects={"ConvokeDown": "4m"},
        serves=False,
        breaks=('up{job="convoke"} == 0', 'up{job="convok"} == 0'),
        misses="ConvokeDown",
        core=True,
    )
)
