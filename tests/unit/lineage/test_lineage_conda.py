"""Conda's notation of packages, and its names."""

from __future__ import annotations

import pytest

from runner.lineage.conda import read_entry


@pytest.mark.parametrize(
    ("text", "requirement", "exact"),
    [
        ("numpy", "numpy", False),
        ("numpy=1.26", "numpy==1.26.*", False),
        ("numpy = 1.26", "numpy==1.26.*", False),
        ("numpy=1.26.*", "numpy==1.26.*", False),
        ("numpy 1.26.*", "numpy==1.26.*", False),
        ("numpy==1.26", "numpy==1.26", True),
        ("numpy=1.26.4", "numpy==1.26.4", True),
        ("numpy=1.26.4=py311h64a7726_0", "numpy==1.26.4", True),
        ("numpy 1.26.4 py311h64a7726_0", "numpy==1.26.4", True),
        ("numpy=1.21=py39*", "numpy==1.21", True),
        ("numpy>=1.2,<2", "numpy>=1.2,<2", False),
        ("numpy >=1.20.*", "numpy>=1.20", False),
        ("numpy!=1.3,<2", "numpy!=1.3,<2", False),
        ("numpy~=1.2", "numpy~=1.2", False),
        ("numpy[version='>=1.2,<2']", "numpy>=1.2,<2", False),
        ("conda-forge::numpy=1.26.4", "numpy==1.26.4", True),
        ("conda-forge/linux-64::numpy=1.26", "numpy==1.26.*", False),
        ("pytorch::pytorch=1.12.1=py3.9_cuda11.3_cudnn8.3.2_0", "torch==1.12.1", True),
        ("pytables=3.8", "tables==3.8.*", False),
        ("py-xgboost", "xgboost", False),
        ("_py-xgboost-mutex=2.0=cpu_0", None, False),
        ("matplotlib-base=3.7.1=py311h8597a09_0", "matplotlib==3.7.1", True),
        ("msgpack-python", "msgpack", False),
        ("tensorflow-gpu=2.4.1", "tensorflow==2.4.1", True),
        ("dask", "dask[complete]", False),
        ("typing_extensions=4.0.1=pyha770c72_0", "typing-extensions==4.0.1", True),
    ],
)
def test_a_package_is_asked_for_as_the_index_names_and_numbers_it(
    text: str, requirement: str | None, exact: bool
) -> None:
    entry = read_entry(text)
    assert entry is not None
    assert (entry.requirement, entry.exact) == (requirement, exact)


def test_opencv_has_one_number_more_on_the_index() -> None:
    entry = read_entry("opencv=4.5.3=py39h_1")
    assert entry is not None
    assert (entry.requirement, entry.exact) == ("opencv-python-headless==4.5.3.*", False)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("libgcc-ng=9.3.0=h5101ec6_17", "library"),
        ("_libgcc_mutex=0.1=main", "library"),
        ("mkl=2021.4.0", "library"),
        ("mkl_fft=1.3.1=py39hd3c417c_0", "library"),
        ("cudatoolkit=11.3", "library"),
        ("pytorch-cuda=11.8", "library"),
        ("yaml=0.2.5", "library"),
        ("ld_impl_linux-64=2.35.1", "library"),
        ("vs2015_runtime=14.27", "library"),
        ("r-base=4.1", "other"),
        ("r-essentials", "other"),
        ("gcc_linux-64", "other"),
        ("graphviz", "other"),
        ("openjdk=11", "other"),
        ("pip=21.2", "installer"),
        ("setuptools", "installer"),
        ("python=3.9.7=h12debd9_1", "python"),
        ("librosa", "package"),
        ("libpysal", "package"),
        ("cuda-python", "package"),
        ("requests", "package"),
        ("rich", "package"),
    ],
)
def test_what_is_no_package_of_python_is_told_apart(text: str, kind: str) -> None:
    entry = read_entry(text)
    assert entry is not None
    assert entry.kind == kind


@pytest.mark.parametrize("text", ["numpy=1.2|1.3", "tzdata=2021b1c"])
def test_a_bound_that_only_conda_has_is_none_and_said_to_be(text: str) -> None:
    entry = read_entry(text)
    assert entry is not None
    assert (entry.requirement, entry.loosened) == (entry.name, True)


@pytest.mark.parametrize("text", ["", "{{ x }}", "- numpy", "numpy; rm"])
def test_what_is_no_entry_is_none(text: str) -> None:
    assert read_entry(text) is None
