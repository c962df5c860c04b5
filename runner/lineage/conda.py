"""Conda's notation of packages, and what an index of Python packages has of them. Pure.

Conda and PyPI share most names; the tables hold those that differ, and what conda ships beside Python: libraries that
wheels bring along, tools, other languages. Only what is known is renamed; all else has its own name on the index.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

_NAMES = {
    "airflow": "apache-airflow",
    "analytics-python": "segment-analytics-python",
    "arch-py": "arch",
    "brotli-python": "brotli",
    "cython-blis": "blis",
    "dask": "dask[complete]",  # conda's brings what the extra does
    "dask-core": "dask",
    "docker-py": "docker",
    "h3-py": "h3",
    "matplotlib-base": "matplotlib",
    "mlflow-ui": "mlflow",
    "msgpack-python": "msgpack",
    "neo4j-python-driver": "neo4j",
    "opencv": "opencv-python-headless",  # no display in a container, and the same library
    "pandera-core": "pandera",
    "psycopg2": "psycopg2-binary",  # conda's is compiled too
    "py-opencv": "opencv-python-headless",
    "py-xgboost": "xgboost",
    "py-xgboost-cpu": "xgboost",
    "py-xgboost-gpu": "xgboost",
    "pyarrow-core": "pyarrow",
    "pyg": "torch-geometric",
    "pyqt": "pyqt5",
    "pysoundfile": "soundfile",
    "pytables": "tables",
    "python-annoy": "annoy",
    "python-blosc2": "blosc2",
    "python-build": "build",
    "python-duckdb": "duckdb",
    "python-fastjsonschema": "fastjsonschema",
    "python-flatbuffers": "flatbuffers",
    "python-graphviz": "graphviz",
    "python-igraph": "igraph",
    "python-installer": "installer",
    "python-kaleido": "kaleido",
    "python-kubernetes": "kubernetes",
    "python-sounddevice": "sounddevice",
    "python-tzdata": "tzdata",
    "python-wget": "wget",
    "python-xxhash": "xxhash",
    "python-zstd": "zstd",
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "pytorch-geometric": "torch-geometric",
    "pytorch-scatter": "torch-scatter",
    "pytorch-sparse": "torch-sparse",
    "pytorch-cluster": "torch-cluster",
    "pytorch-spline-conv": "torch-spline-conv",
    "qtconsole-base": "qtconsole",
    "quaternion": "numpy-quaternion",
    "ray-core": "ray",
    "ray-default": "ray[default]",
    "ray-tune": "ray[tune]",
    "redis-py": "redis",
    "seaborn-base": "seaborn",
    "soxr-python": "soxr",
    "superset": "apache-superset",
    "tensorflow-base": "tensorflow",
    "tensorflow-cpu": "tensorflow",
    "tensorflow-eigen": "tensorflow",
    "tensorflow-gpu": "tensorflow",
    "tensorflow-mkl": "tensorflow",
    "torchvision-cpu": "torchvision",
    "trino-python-client": "trino",
}
_OTHER_BUILDS = frozenset({"opencv-python-headless", "psycopg2-binary"})
"""What PyPI numbers with one part more: conda's 4.5.3 is any 4.5.3.x there."""

_INSTALLERS = frozenset({"conda", "mamba", "pip", "setuptools", "wheel"})
"""What installs the rest."""

_LIBRARY_NAMES = """
    abseil-cpp alsa-lib aom arpack arrow-cpp attr aws-checksums aws-crt-cpp aws-sdk-cpp backports blas boost
    boost-cpp brotli brotli-bin bzip2 c-ares ca-certificates cairo cfitsio cpuonly cudatoolkit cudnn cyrus-sasl
    dav1d dbus double-conversion eigen elfutils expat fftw fontconfig freetype fribidi gdk-pixbuf geos gettext
    gettext-tools gflags giflib glib glib-tools glog gmp gnutls graphite2 grpc-cpp gsl gst-plugins-base gstreamer
    gtk2 gtk3 harfbuzz hdf4 hdf5 hicolor-icon-theme icc-rt icu intel-openmp jasper jpeg jxrlib keyutils krb5 lame
    lcms2 lerc llvm-openmp lz4-c lzo metis mkl mkl-fft mkl-include mkl-random mkl-service mpc mpfr mpg123
    mysql-common nccl ncurses nettle nspr nss numactl numpy-base ocl-icd openblas openh264 openjpeg openldap
    openmp openssl orc p11-kit pango pcre pcre2 pixman popt proj pthread-stubs pulseaudio pulseaudio-client
    pyqt-impl pytorch-cuda pytorch-mutex pywin32-on-windows qhull qt qt-main qt-webengine qt6-main rdma-core re2
    readline s2n sdl2 sleef snappy sqlite suitesparse svt-av1 tbb thrift-cpp tk ucrt ucx unixodbc uriparser
    utf8proc vc wayland wayland-protocols wincertstore x264 x265 xerces-c xkeyboard-config xz yaml zeromq zfp zlib
    zlib-ng zstd
"""
_LIBRARIES = frozenset(_LIBRARY_NAMES.split())
"""Libraries that wheels bring with them or the system has, and marks of a build: the Python packages are the same."""
_LIBRARY = re.compile(
    r"_.*|lib(?!cst$|pysal$|rosa$|tmux$|usb1$).*|ld-impl-.*|xorg-.*|xcb-util.*|aws-c-.*|"
    r"cuda-(?!python$).*|font(?:s-conda)?-.*|fonts-.*|.*-(?:devel|libs|mutex|proc|abi)|"
    r"vs20\d\d-runtime|vc14-runtime|m2w64-.*|msys2-.*|console-shortcut|menuinst|appnope|python-app"
)
_OTHER_NAMES = """
    autoconf automake bazel bedtools bison blast c-compiler clang clangxx compilers cxx-compiler ffmpeg flex
    fortran-compiler gcc gfortran ghostscript git git-lfs go graphviz gxx htslib imagemagick java-jdk julia llvm
    llvm-tools m4 make maven mpi mpich nodejs openjdk openmpi pandoc parallel patchelf perl pkg-config poppler
    postgresql r redis-server rsync rust samtools scala swig tesseract texlive-core tmux unzip vim wget zip
"""
_OTHERS = frozenset(_OTHER_NAMES.split())
"""Programs and other languages, which no index of Python packages has."""
_OTHER = re.compile(r"r-.*|perl-.*|bioconductor-.*|(?:gcc|gxx|gfortran|clang|clangxx|sysroot|kernel-headers)-.*")

_ENTRY = re.compile(
    r"(?:[\w./:-]+::)?(?P<name>[A-Za-z0-9_][\w.+-]*?)\s*"
    r"(?:\[(?P<keys>[^\]]*)\]|(?P<constraint>[\s=<>!~].*))?"
)
_SINGLE = re.compile(r"(?P<is>={0,2})\s*(?P<version>v?\d[\w.!+]*?(?:\.?\*)?)(?:(?:\s*=\s*|\s+)(?P<build>[\w.*]+))?")
_NUMBER = re.compile(r"v?\d[\w.!+]*(?:\.\*|\*)?")


@dataclass(frozen=True)
class CondaEntry:
    """An entry of conda's `dependencies`.

    `requirement` is what to ask an index of Python packages for; None for what is none. `kind` tells what it is:
    `library` is one that wheels bring along, `other` a program or another language, which no wheel has. `version` is
    the one version that it allows, `exact` whether it names it in full. `loosened` tells that the index has no
    notation, or no version, for the bound.
    """

    text: str
    name: str
    kind: Literal["package", "python", "installer", "library", "other"]
    requirement: str | None = None
    version: str | None = None
    exact: bool = False
    loosened: bool = False

    @property
    def written(self) -> str:
        """The name as it is written."""
        return re.split(r"[\s=<>!~\[]", self.text.rpartition("::")[2].strip(), maxsplit=1)[0]


def read_entry(text: str) -> CondaEntry | None:
    """Return an entry such as `conda-forge::numpy=1.26`, None where it is none."""
    match = _ENTRY.fullmatch(text.strip())
    if match is None:
        return None
    conda = canonicalize_name(match["name"])
    kind = _kind(match["name"].lower(), conda)
    bound, exact = _bound(match["keys"], match["constraint"])
    name = _NAMES.get(conda, conda)
    loosened = bound is None
    if kind == "python":
        return CondaEntry(text, conda, kind, None if loosened else bound, _one(bound), exact, loosened)
    if kind != "package":
        return CondaEntry(text, conda, kind)
    if exact and bound is not None and name in _OTHER_BUILDS:
        bound, exact = f"{bound}.*", False
    return CondaEntry(
        text, canonicalize_name(name.partition("[")[0]), kind, f"{name}{bound or ''}", _one(bound), exact, loosened
    )


def _kind(name: str, conda: str) -> Literal["package", "python", "installer", "library", "other"]:
    if conda == "python":
        return "python"
    if conda in _INSTALLERS:
        return "installer"
    if conda in _OTHERS or _OTHER.fullmatch(conda):
        return "other"
    if conda in _LIBRARIES or _LIBRARY.fullmatch(name) or _LIBRARY.fullmatch(conda):
        return "library"
    return "package"


def _one(bound: str | None) -> str | None:
    return bound.lstrip("=") if bound and bound.startswith("==") and "," not in bound else None


def _bound(keys: str | None, constraint: str | None) -> tuple[str | None, bool]:
    """Return a bound in PEP 440's notation (empty for none, None where it has none), and whether it is one version."""
    if keys is not None:
        found = re.search(r"version\s*=\s*['\"]?([^'\"\],]+)['\"]?", keys)
        quoted = re.search(r"version\s*=\s*(['\"])(.*?)\1", keys)
        constraint = f" {quoted[2]}" if quoted else (f" {found[1]}" if found else "")
    text = (constraint or "").strip()
    if text in ("", "*", "=*"):
        return "", False
    # `1.26.4=py311_0` and `1.26.4 py311_0`: what follows the version names a build of it.
    single = _SINGLE.fullmatch(text)
    if single is not None:
        version, build = single["version"], single["build"]
        if version.endswith("*"):
            return _valid(f"=={version.rstrip('*').rstrip('.')}.*"), False
        # `numpy=1.26` is any 1.26.x; so is `numpy=1.26.4` any 1.26.4.x, of which there is one.
        whole = single["is"] == "==" or single["is"] == "" or build not in (None, "*") or version.count(".") > 1
        bound = _valid(f"=={version}" if whole else f"=={version}.*")
        return bound, whole and bound is not None
    if "|" in text:
        return None, False
    parts = [_part(part.strip()) for part in text.split(",")]
    return (None, False) if None in parts else (_valid(",".join(part for part in parts if part)), False)


def _part(text: str) -> str | None:
    match = re.fullmatch(r"(?P<operator>[<>]=?|!=|~=|={1,2})\s*(?P<version>\S+)", text)
    if match is None:
        return "" if text == "*" else None
    operator, version = match["operator"], match["version"].split("=")[0]
    if not _NUMBER.fullmatch(version):
        return None
    if operator in ("=", "==", "!="):
        wild = version.endswith("*") or operator == "="
        return f"{'!=' if operator == '!=' else '=='}{version.rstrip('*').rstrip('.')}{'.*' if wild else ''}"
    return f"{operator}{version.rstrip('*').rstrip('.')}"  # conda reads `>=1.2.*` as `>=1.2`


def _valid(bound: str) -> str | None:
    try:
        SpecifierSet(bound)
    except InvalidSpecifier:
        return None
    return bound
