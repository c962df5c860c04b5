"""Commands of the auditor that fetch data before the training: with the network, and without anybody's credentials.

They run in the workspace and the environment of the training, in a container of their own that has neither the capture
nor a cache of others. What they leave is hashed and told; outputs that the training is to write are taken away again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from runner.engine.interface import ContainerRequest, Engine, VolumeMount
from runner.errors import MissingFact
from runner.inside import layout
from runner.network import NetworkSettings
from runner.progress import Progress
from runner.redact import redact
from runner.rerun.exchange import call, inside_argv
from runner.rerun.train import train_request
from runner.schema.plan import Plan
from runner.schema.rerun import PrefetchedFile

_TAIL = 2000


@dataclass
class _Tail:
    said: bytes = b""

    def feed(self, data: bytes) -> None:
        self.said = (self.said + data)[-_TAIL:]

    @property
    def last_line(self) -> str:
        lines = self.said.decode(errors="replace").split("\n")
        return redact(next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing"))[:300]


def prefetch(
    engine: Engine,
    plan: Plan,
    *,
    rerun: str,
    environment_key: str,
    volume: str,
    network: NetworkSettings,
    progress: Progress,
    offline: bool,
) -> tuple[PrefetchedFile, ...]:
    """Run the plan's `prefetch` commands and return the files that they left.

    Raises MissingFact for a command that did not end well.
    """
    if not plan.prefetch:
        return ()
    if offline:
        raise _failed(plan.prefetch[0], "--offline keeps it from the network")
    request = _request(train_request(plan, rerun=rerun, environment_key=environment_key, volume=volume), network)
    for command in plan.prefetch:
        progress.update(f"fetching: {redact(command)[:80]}")
        tail = _Tail()
        argv = (*request.argv[:-1], command)
        outcome = engine.run(replace(request, argv=argv), stdout=tail.feed, stderr=tail.feed)
        if outcome.exit_code != 0:
            how = "took too long" if outcome.timed_out else f"ended with exit status {outcome.exit_code}"
            raise _failed(command, f"it {how}: {tail.last_line}")
    result = call(
        engine,
        ContainerRequest(
            image=plan.images.tools,
            argv=inside_argv("prefetched"),
            purpose="prefetched",
            run=plan.run.id,
            mounts=(VolumeMount(volume=volume, target=layout.CACHE),),
        ),
        payload={
            "rerun": rerun,
            "expected_outputs": [path for path in plan.expected_outputs if path not in plan.policy.warm_start],
        },
        progress=progress,
    )
    return tuple(PrefetchedFile.model_validate(file, strict=False) for file in result["files"])


def _request(training: ContainerRequest, network: NetworkSettings) -> ContainerRequest:
    ours = ("REPRO_CAPTURE_DIR", "REPRO_WORKSPACE")
    kept = {name: value for name, value in training.environment.items() if name not in ours}
    # one with a password stays here: what runs there is not ours
    proxies = {name: value for name, value in network.proxies.items() if "@" not in value}
    both = {**proxies, **{name.upper(): value for name, value in proxies.items()}}
    return replace(training, purpose="prefetch", network="bridge", environment={**both, **kept}, gpus=None)


def _failed(command: str, why: str) -> MissingFact:
    return MissingFact(
        f"the prefetch command `{redact(command)}` did not fetch the data: {why}",
        "correct `prefetch` in runner.yaml",
        fact="data",
        looked_in=("prefetch in runner.yaml",),
    )
