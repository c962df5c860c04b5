"""Which of Debian's packages has what a program missed: a shared library, a program, a header; told from its output.

Names that have changed between Debian's releases are those that every release still takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_LIBRARIES: dict[str, str] = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libGLU.so.1": "libglu1-mesa",
    "libOSMesa.so.8": "libosmesa6",
    "libOpenCL.so.1": "ocl-icd-libopencl1",
    "libOpenGL.so.0": "libopengl0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libxcb.so.1": "libxcb1",
    "libasound.so.2": "libasound2",
    "libcairo.so.2": "libcairo2",
    "libcurl.so.4": "libcurl4",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libgdal.so": "gdal-bin",
    "libgeos_c.so.1": "libgeos-c1v5",
    "libgfortran.so.5": "libgfortran5",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgobject-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
    "libhdf5.so": "libhdf5-dev",
    "libjpeg.so.62": "libjpeg62-turbo",
    "liblapack.so.3": "liblapack3",
    "libblas.so.3": "libblas3",
    "libmagic.so.1": "libmagic1",
    "libmariadb.so.3": "libmariadb3",
    "libmpi.so.40": "openmpi-bin",
    "libnss3.so": "libnss3",
    "libnuma.so.1": "libnuma1",
    "libodbc.so.2": "unixodbc",
    "libopenblas.so.0": "libopenblas0",
    "libpango-1.0.so.0": "libpango-1.0-0",
    "libpangocairo-1.0.so.0": "libpangocairo-1.0-0",
    "libportaudio.so.2": "libportaudio2",
    "libpq.so.5": "libpq5",
    "libquadmath.so.0": "libquadmath0",
    "libsndfile.so.1": "libsndfile1",
    "libsox.so": "libsox-fmt-base",
    "libspatialindex_c.so": "libspatialindex-dev",
    "libtk8.6.so": "libtk8.6",
    "libxml2.so.2": "libxml2",
    "libxslt.so.1": "libxslt1.1",
}
"""By the name that the loader looks for; a name without a version stands for all of its versions."""

_PROGRAMS: dict[str, str] = {
    "Rscript": "r-base-core",
    "R": "r-base-core",
    "cmake": "cmake",
    "convert": "imagemagick",
    "curl": "curl",
    "dot": "graphviz",
    "espeak": "espeak",
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "g++": "g++",
    "gcc": "gcc",
    "cc": "gcc",
    "gfortran": "gfortran",
    "git-lfs": "git-lfs",
    "java": "default-jre-headless",
    "javac": "default-jdk-headless",
    "latex": "texlive-latex-extra",
    "lscpu": "util-linux",
    "make": "make",
    "mpirun": "openmpi-bin",
    "node": "nodejs",
    "pdflatex": "texlive-latex-extra",
    "pdftoppm": "poppler-utils",
    "perl": "perl",
    "sox": "sox",
    "tesseract": "tesseract-ocr",
    "time": "time",
    "unzip": "unzip",
    "wget": "wget",
    "xvfb-run": "xvfb",
    "zip": "zip",
}

_TOOLS: dict[str, str] = {
    "cargo": "cargo",
    "cmake": "cmake",
    "gfortran": "gfortran",
    "llvm-config": "llvm-dev",
    "mysql_config": "default-libmysqlclient-dev",
    "ninja": "ninja-build",
    "pg_config": "libpq-dev",
    "rustc": "cargo",
    "swig": "swig",
}
"""What builds ask for beyond the compilers that they have."""

_HEADERS: dict[str, str] = {
    "Eigen/": "libeigen3-dev",
    "GL/": "libgl-dev",
    "CL/": "opencl-headers",
    "boost/": "libboost-dev",
    "bzlib.h": "libbz2-dev",
    "cairo.h": "libcairo2-dev",
    "cblas.h": "libopenblas-dev",
    "curl/": "libcurl4-openssl-dev",
    "fftw3.h": "libfftw3-dev",
    "ft2build.h": "libfreetype-dev",
    "gdal.h": "libgdal-dev",
    "geos_c.h": "libgeos-dev",
    "gmp.h": "libgmp-dev",
    "graphviz/": "libgraphviz-dev",
    "hdf5.h": "libhdf5-dev",
    "jpeglib.h": "libjpeg-dev",
    "lapacke.h": "liblapacke-dev",
    "lber.h": "libldap-dev",
    "ldap.h": "libldap-dev",
    "libpq-fe.h": "libpq-dev",
    "librdkafka/": "librdkafka-dev",
    "libxml/": "libxml2-dev",
    "libxslt/": "libxslt1-dev",
    "lzma.h": "liblzma-dev",
    "magic.h": "libmagic-dev",
    "mpfr.h": "libmpfr-dev",
    "mpi.h": "libopenmpi-dev",
    "mysql.h": "default-libmysqlclient-dev",
    "png.h": "libpng-dev",
    "portaudio.h": "portaudio19-dev",
    "re2/": "libre2-dev",
    "sasl/": "libsasl2-dev",
    "snappy-c.h": "libsnappy-dev",
    "sndfile.h": "libsndfile1-dev",
    "spatialindex/": "libspatialindex-dev",
    "sql.h": "unixodbc-dev",
    "sqlite3.h": "libsqlite3-dev",
    "tcl.h": "tk-dev",
    "tk.h": "tk-dev",
    "yaml.h": "libyaml-dev",
    "zmq.h": "libzmq3-dev",
}
"""By the header as it is included; a folder stands for all that is in it."""

_LINKED: dict[str, str] = {
    "blas": "libopenblas-dev",
    "cblas": "libopenblas-dev",
    "lapack": "libopenblas-dev",
    "openblas": "libopenblas-dev",
    "pq": "libpq-dev",
    "xml2": "libxml2-dev",
    "odbc": "unixodbc-dev",
    "gmp": "libgmp-dev",
}
"""By the name that the linker was given (`-lNAME`)."""

_LOADER = re.compile(
    r"(?P<name>lib[\w.+-]+\.so(?:\.[\w.]+)?): cannot open shared object file: No such file or directory"
)
_SOUNDFILE = re.compile(r"OSError: (?:sndfile|libsndfile) library not found|PortAudio library not found")
_NOT_FOUND = re.compile(
    r"(?:^|/|\s)(?:ba|da|z)?sh: (?:(?:line )?\d+: )?(?P<shell>[\w+.-]+): (?:command )?not found"
    r"|(?P<command>[\w+.-]+): command not found"
    r"|failed to execute (?:PosixPath\()?\[?['\"](?P<graphviz>[\w+-]+)['\"]"
    r"|command '(?P<compiler>[\w./+-]+)' failed: No such file or directory"
)
_NOT_STARTED = re.compile(r"No such file or directory: (?:PosixPath\()?b?['\"](?P<name>[\w+-]+)['\"]")
_STARTS = ("_execute_child", "subprocess.py")
"""What a traceback has where a program was to be started, and not a file read."""

_SAYS_OTHERWISE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"JAVA_HOME is not set|JAVA_GATEWAY_EXITED|Unable to find Java|No JVM shared library file"), "java"),
    (re.compile(r"(?i)failed to find (?:a )?C compiler|No (?:working )?C compiler (?:was )?found"), "gcc"),
    (re.compile(r"tesseract is not installed"), "tesseract"),
    (re.compile(r"(?i)ffmpeg (?:was|is) not (?:found|installed)|Couldn't find ff(?:mpeg|probe)"), "ffmpeg"),
    (re.compile(r"GraphViz executables not found|Graphviz's executables"), "dot"),
    (re.compile(r"No module named '_?tkinter'"), "tkinter"),
)
_COMPILED = frozenset({"gcc", "g++", "cc", "c++"})


@dataclass(frozen=True)
class Lacked:
    """What was missed, as people name it, and the packages that have it; none where that is not known."""

    what: str
    packages: tuple[str, ...]


def lacked_by_training(lines: Iterable[str]) -> tuple[Lacked, ...]:
    """Return the shared libraries and well-known programs that the last lines of a log say are not there."""
    lines = tuple(lines)
    found = [lacked for line in lines for lacked in _of_line(line)]
    if any(sign in line for line in lines for sign in _STARTS):
        names = [match["name"] for line in lines for match in _NOT_STARTED.finditer(line)]
        found += [_program(name) for name in names if name in _PROGRAMS]
    return tuple(dict.fromkeys(found))


def _of_line(line: str) -> Iterator[Lacked]:
    if match := _LOADER.search(line):
        # A library by a path is the project's own, not the system's.
        before = line[: match.start()]
        if not before.endswith("/"):
            yield Lacked(match["name"], _library(match["name"]))
        return
    if match := _SOUNDFILE.search(line):
        name = "libportaudio.so.2" if "PortAudio" in match[0] else "libsndfile.so.1"
        yield Lacked(name, _library(name))
    for pattern, program in _SAYS_OTHERWISE:
        if pattern.search(line):
            yield _program(program)
            return
    if match := _NOT_FOUND.search(line):
        name = match[match.lastgroup or 0].rpartition("/")[2]
        if name in _PROGRAMS:
            yield _program(name)


def _library(name: str) -> tuple[str, ...]:
    package = _LIBRARIES.get(name) or _LIBRARIES.get(name.partition(".so")[0] + ".so")
    return () if package is None else (package,)


def _program(name: str) -> Lacked:
    if name == "tkinter":
        return Lacked("Python's tkinter", ("python3-tk",))  # Debian keeps it apart
    # Whoever compiles while training compiles against Python.
    more = ("libc6-dev", "python3-dev") if name in _COMPILED else ()
    return Lacked(f"the program {name}", (_PROGRAMS[name], *more))


def packages_of_header(header: str) -> tuple[str, ...]:
    """Return the package that has a header, none where that is not known."""
    return tuple(
        dict.fromkeys(
            package
            for known, package in _HEADERS.items()
            if header == known or (known.endswith("/") and header.startswith(known)) or header.endswith(f"/{known}")
        )
    )[:1]


def packages_of_tool(name: str) -> tuple[str, ...]:
    """Return the package that has a program which builds ask for, none where that is not known."""
    return (_TOOLS[name],) if name in _TOOLS else ()


def packages_of_linked(name: str) -> tuple[str, ...]:
    """Return the package that has a library to link with (`-lNAME`), none where that is not known."""
    return (_LINKED[name],) if name in _LINKED else ()


def together(given: Sequence[str], more: Iterable[str]) -> str:
    """Return the value of `--system-packages` that adds packages to those that were given."""
    return ",".join(dict.fromkeys((*given, *more)))
