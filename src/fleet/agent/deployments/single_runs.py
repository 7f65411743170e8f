"""
Remember which services of one deployment ran, and don't run again.

| restartPolicy | Ran once it           | and then                                            |
|---------------|-----------------------|-----------------------------------------------------|
| `Always`      |                       |                                                     |
| `OnFailure`   | ended with 0          | stays down; one that was interrupted runs again     |
| `Never`       | is about to be started| stays down, also where nobody saw it end            |

Of a service that there is a container of, the runtime's word decides: one that is made and
never began may begin. So a run is remembered before its start and after its creation, which
are two passes. What is remembered of a service goes when the container of another digest
takes its place, or when the service is no longer wanted.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

from fleet.agent.model.runs import Memory, Run
from fleet.agent.runtimes.podman.executor import Outcome
from fleet.agent.runtimes.podman.planning import Action, Create, Start
from fleet.agent.runtimes.port import Container, Status
from fleet.contracts.scores import RestartPolicy


class SingleRuns:
    """The runs of one deployment. *poke* is called when a container is to be started next."""

    def __init__(self, memory: Memory, poke: Callable[[], None]) -> None:
        self._runs = dict(memory.runs)
        self._save = memory.save_runs
        self._poke = poke

    def look(
        self,
        found: Iterable[Container],
        *,
        seen: Collection[str],
        wanted: Collection[str] | None = None,
    ) -> None:
        """
        Take note of what began and ended.

        *seen* are the services that ran under our eyes: these were not interrupted, whatever
        their times say. *wanted* is None where that isn't known.
        """
        runs, there = dict(self._runs), set()
        for container in found:
            there.add(container.service)
            known = runs.pop(container.service, None)
            if known is not None and known.digest != container.digest:
                known = None
            run = _run(container, known, is_seen=container.service in seen)
            if run is not None:
                runs[container.service] = run
        if wanted is not None:
            runs = {name: run for name, run in runs.items() if name in there or name in wanted}
        self._keep(runs)

    def ran(self, digests: Mapping[str, str], found: Iterable[Container]) -> dict[str, Run]:
        """Map the services of *digests* that don't run again to their runs."""
        unbegun = {c.service for c in found if c.status is Status.CREATED and not c.has_begun}
        return {
            name: run
            for name, run in self._runs.items()
            if digests.get(name) == run.digest and name not in unbegun
        }

    def begin(self, actions: Iterable[Action], found: Iterable[Container]) -> tuple[Action, ...]:
        """Take note of what is about to start; leave out what has to be made first."""
        by_service = {c.service: c for c in found}
        runs, now = dict(self._runs), list[Action]()
        made = {a.service: a.workload for a in actions if isinstance(a, Create)}
        for action in actions:
            if not isinstance(action, Start):
                now.append(action)
            elif action.service in made:
                policy = made[action.service].service.restart_policy
                now += [action] if policy is not RestartPolicy.NEVER else []
            else:
                container = by_service.get(action.service)
                if container is None:
                    continue  # there is nothing to start
                if container.restart_policy is RestartPolicy.NEVER:
                    runs[action.service] = Run(service=action.service, digest=container.digest)
                now.append(action)
        self._keep(runs)
        return tuple(now)

    def note(self, outcome: Outcome) -> None:
        """Take note of what became of an action."""
        match outcome:
            case Outcome(action=Create(workload=workload), error=None):
                if workload.service.restart_policy is RestartPolicy.NEVER:
                    self._poke()
            case Outcome(action=Start(service=service)) if outcome.error is not None:
                self._keep({name: run for name, run in self._runs.items() if name != service})
            case _:
                pass

    def _keep(self, runs: Mapping[str, Run]) -> None:
        if runs != self._runs:
            self._runs = dict(runs)
            self._save(self._runs)


def _run(container: Container, known: Run | None, *, is_seen: bool) -> Run | None:
    """Tell the run of which *container* gives evidence, or which was *known* before."""
    has_ended = container.status is Status.EXITED and (is_seen or not container.was_interrupted)
    match container.restart_policy:
        case RestartPolicy.ALWAYS:
            return None
        case RestartPolicy.ON_FAILURE if not has_ended or container.exit_code:
            return known
        case RestartPolicy.NEVER if not has_ended:
            begun = Run(service=container.service, digest=container.digest)
            return known or (begun if container.has_begun else None)
        case _:
            return Run(
                service=container.service, digest=container.digest, exit_code=container.exit_code
            )
