"""What to type to look into a workspace that `--keep` left, and to remove it. Pure."""

from __future__ import annotations

import shlex

from runner.inside import layout
from runner.schema.plan import Plan
from runner.schema.rerun import Rerun


def shell_command(plan: Plan, rerun: Rerun, *, name: str, volume: str) -> str:
    """Return the command that opens a shell in the kept workspace `name`, as the training saw it: no network, its user.

    Appending `-c LINE` runs a line there instead.
    """
    environment = f"{layout.ENVIRONMENTS}/{rerun.environment.key}"
    folder = layout.work(name, f"{layout.SANDBOX}/{layout.WORKSPACE}")
    if plan.working_directory not in ("", "."):
        folder = f"{folder}/{plan.working_directory}"
    return _run(
        plan,
        volume,
        "-it",
        "--network=none",
        f"--user={layout.TRAINER_UID}:{layout.TRAINER_GID}",
        f"--workdir={folder}",
        f"--env=PATH={environment}/bin:/usr/local/bin:/usr/bin:/bin:{layout.TOOLS_PATH}",
        f"--env=HOME={layout.work(name, f'{layout.SANDBOX}/{layout.HOME}')}",
        argv=("bash",),
    )


def removal_command(plan: Plan, *, name: str, volume: str) -> str:
    """Return the command that removes the kept workspace `name`."""
    return _run(plan, volume, argv=("rm", "-rf", layout.work(name)))


def _run(plan: Plan, volume: str, *options: str, argv: tuple[str, ...]) -> str:
    client = "podman" if (plan.images.engine or "").startswith("podman") else "docker"
    image = plan.images.train or plan.images.tools
    return shlex.join([client, "run", "--rm", *options, f"--volume={volume}:{layout.CACHE}", image, *argv])
