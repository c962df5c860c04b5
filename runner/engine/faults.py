"""Maps what docker-py, requests and sockets raise to our errors, the most specific first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from runner.errors import DiskFull, EngineUnavailable, ImageUnavailable, RunnerError, UsageError
from runner.redact import redact

DOCTOR = "runner doctor"
_NO_GPU = re.compile(r"could not select device driver|nvidia-container-cli|no known GPU vendor")
_NO_SPACE = ("no space left on device", "disk quota exceeded")


@contextmanager
def engine_faults(doing: str, *, image: str | None = None) -> Iterator[None]:
    """Raise our errors in place of the libraries'. `doing` completes "the container engine failed while ...".

    Wrap calls of the engine only, never a sink: an OSError of a sink is not the engine's.
    """
    import docker.errors
    import requests
    import urllib3

    try:
        yield
    except RunnerError:
        raise
    except docker.errors.ImageNotFound as error:
        raise ImageUnavailable(f"the image {image or ''} is not there".replace("  ", " "), "runner setup") from error
    except docker.errors.APIError as error:
        raise api_fault(doing, str(error.explanation or error)) from error
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        raise EngineUnavailable(f"the container engine broke off while {doing}: {reason(error)}", DOCTOR) from error


def no_gpus(why: str) -> UsageError:
    """Return the error for GPUs that the engine cannot give."""
    return UsageError(
        f"GPUs were asked for, and the container engine has none to give: {why}",
        "--gpus none, or an engine with NVIDIA's container toolkit (DOCKER_HOST)",
    )


def api_fault(doing: str, explanation: str) -> RunnerError:
    """Return our error for what the engine answered."""
    text = redact(explanation.strip())
    if any(sign in text.lower() for sign in _NO_SPACE):
        return DiskFull(f"the container engine has no space left while {doing}: {text}", "runner setup --prune")
    if _NO_GPU.search(text):
        return no_gpus(text)
    return EngineUnavailable(f"the container engine refused while {doing}: {text}", DOCTOR)


def reason(error: BaseException) -> str:
    """Return the innermost reason of an error in a phrase."""
    cause: BaseException = error
    while True:
        inner = cause.__cause__ or cause.__context__
        if inner is None or inner is cause:
            break
        cause = inner
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return redact(text or type(cause).__name__)
