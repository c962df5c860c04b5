"""Which libraries of linear algebra and OpenMP a training had loaded when it ended, with their threads.

Two machines with the same packages may compute otherwise: BLAS chooses its kernels by the processor, and sums in the
order of its threads. Asked of what is loaded already, at the end of each process; nothing is loaded for it.
"""

from __future__ import annotations

import atexit
import os
import sys

from reproducibility_runner.events import LOADED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from reproducibility_runner.events import Writer

MAPS = "/proc/self/maps"
GPUS = "/proc/driver/nvidia/gpus"
VARIABLES = (
    "OMP_NUM_THREADS",
    "OMP_DYNAMIC",
    "OPENBLAS_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "MKL_NUM_THREADS",
    "MKL_DYNAMIC",
    "MKL_CBWR",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTHON_CPU_COUNT",
    "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "XLA_FLAGS",
    "TZ",
    "LANG",
    "LC_ALL",
)
"""Variables that can move numbers."""

_OPENBLAS = ("libopenblas", "libscipy_openblas")
_OPENMP = ("libgomp", "libomp.", "libomp-", "libiomp")
_WITHOUT_THREADS = ("libblas", "libcblas", "liblapack", "libatlas", "libsatlas", "libtatlas", "libflexiblas", "libtbb")
_CUDA = ("libcuda.so", "libcudart", "libcublas", "libcudnn")
_ALL = (*_OPENBLAS, "libmkl_rt", "libmkl_core", "libblis", *_OPENMP, *_WITHOUT_THREADS, *_CUDA)
_MOST = 100
_LONGEST = 200


def watch(writer: Writer) -> None:
    """Have this process write down at its end what it had loaded; its forks do not, they have nothing else."""
    began = os.getpid()

    def at_exit() -> None:
        if os.getpid() == began:
            write(writer)

    atexit.register(at_exit)


def write(writer: Writer) -> None:
    """Write what is loaded, if this process computed or logged anything. Never raises."""
    try:
        paths = list(loaded(MAPS))
        if paths or "mlflow" in sys.modules or "wandb" in sys.modules:
            fields = {"libraries": [_described(path) for path in paths[:_MOST]], "variables": variables(os.environ)}
            # Every process of a machine with the driver could read of its GPUs; this one uses them.
            uses = any(path.rpartition("/")[2].startswith("libcuda.so") for path in paths)
            writer.leave(LOADED, dict(fields, gpus=list(gpus(GPUS)) if uses else []))
    except Exception:  # noqa: BLE001, S110  # whatever is wrong with us must not fail the training at its end
        pass


def loaded(maps: str) -> Iterator[str]:
    """Yield the paths of the libraries in question, of those that are mapped into this process."""
    seen = set()
    with open(maps, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            path = line.rstrip("\n").partition("/")[2]
            if path not in seen:
                seen.add(path)
                name = path.rpartition("/")[2]
                if name.startswith(_ALL) and ".so" in name and not name.endswith("(deleted)"):
                    yield "/" + path


def variables(environment: Any) -> dict[str, str]:
    """Return those variables that can move numbers, as they are now: scripts set some themselves."""
    return {name: environment[name][:_LONGEST] for name in VARIABLES if name in environment}


def gpus(folder: str) -> Iterator[str]:
    """Yield the models of the GPUs that NVIDIA's driver shows to this process."""
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        with open(os.path.join(folder, name, "information"), encoding="utf-8", errors="replace") as file:
            yield from (line.partition(":")[2].strip()[:_LONGEST] for line in file if line.startswith("Model:"))


def _described(path: str) -> dict[str, Any]:
    folder, _, name = path.rpartition("/")
    described: dict[str, Any] = {"name": os.path.join(os.path.basename(folder), name)[:_LONGEST], "threads": None}
    threads = _thread_functions(name)
    if threads:
        import ctypes

        # RTLD_NOLOAD: it is there already, or we do not want it.
        library = ctypes.CDLL(path, mode=os.RTLD_NOLOAD)
        described["threads"] = _called(library, threads, ctypes.c_int)
        if name.startswith(_OPENBLAS):
            described["kernel"] = _text(_called(library, _openblas("corename"), ctypes.c_char_p))
            described["version"] = _text(_called(library, _openblas("config"), ctypes.c_char_p))
    return described


def _thread_functions(name: str) -> tuple[str, ...]:
    if name.startswith(_OPENBLAS):
        return _openblas("num_threads")
    if name.startswith("libmkl_rt"):
        return ("MKL_Get_Max_Threads",)
    if name.startswith("libblis"):
        return ("bli_thread_get_num_threads",)
    return ("omp_get_max_threads",) if name.startswith(_OPENMP) else ()


def _openblas(what: str) -> tuple[str, ...]:
    """Return the names that a function of OpenBLAS has: wheels rename it, so that several may be loaded at once."""
    return tuple(f"{before}openblas_get_{what}{after}" for before in ("", "scipy_") for after in ("", "64_", "_64"))


def _called(library: Any, names: Iterable[str], result: Any) -> Any:
    for name in names:
        function = getattr(library, name, None)
        if function is not None:
            function.argtypes = ()
            function.restype = result
            return function()
    return None


def _text(value: Any) -> str | None:
    return value.decode("ascii", "replace").strip()[:_LONGEST] if isinstance(value, bytes) else None
