"""
Keeps tasks running: failures are contained, recorded and retried, and none goes unnoticed.

What belongs here is what bus, operator and agent need alike to survive an exception that nobody
foresaw: `backoff` (how long to wait), `containment` (what may be caught at all), `failures`
(the recorder: log, count, tell), `supervisor` (restarts tasks), `pulse` (proves that the event
loop turns) and `hooks` (exceptions that reach no task). It knows neither NATS nor Kubernetes nor
podman; who is told of a failure is a `failures.Watcher` of the program.
"""
