"""Upload times as auditors bring them: each form is read, and what is wrong is named with its place."""

from __future__ import annotations

import json

import pytest

from runner.schema.index_dates import read_index_dates

SIX, IDNA = "six-1.16.0-py2.py3-none-any.whl", "idna-3.4.tar.gz"
TIMES = {SIX: "2021-05-05T14:18:17Z", IDNA: "2022-09-14T00:00:00Z"}
ENTRIES = [{"filename": name, "upload-time": time, "url": "x"} for name, time in TIMES.items()]


@pytest.mark.parametrize(
    "text",
    [
        f"{SIX},2021-05-05T14:18:17Z\n{IDNA},2022-09-14T02:00:00+02:00\n",
        f"# exported\nin,Filename,upload_time\nown,{SIX},2021-05-05 14:18:17+00:00\nown,{IDNA},2022-09-14T00:00Z\n",
        json.dumps(TIMES),
        json.dumps(ENTRIES),
        json.dumps([{"name": "six", "files": ENTRIES[:1]}, {"name": "idna", "files": ENTRIES[1:]}]),
        json.dumps({"info": {}, "releases": {"1": ENTRIES}, "urls": ENTRIES}),
        "\ufeff"
        + json.dumps(
            [
                {"filename": name, "upload_time": "2000-01-01T00:00:00", "upload_time_iso_8601": t}
                for name, t in TIMES.items()
            ]
        ),
    ],
    ids=["csv", "csv-header", "json-object", "json-entries", "json-pages", "pypi-json", "pypi-json-times"],
)
def test_every_form_gives_the_same(text: str) -> None:
    found = read_index_dates(text)
    assert found.times == TIMES
    assert found.digest == read_index_dates(json.dumps(TIMES)).digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no file"),
        (f"{SIX},2021-05-05T14:18:17Z\n{IDNA},yesterday\n", "line 2: 'yesterday' is no time such as"),
        (f"{SIX},2021-05-05T14:18:17\n", "has no time zone"),
        (f"{SIX}\n", "line 1: '' is no time"),
        ("six,2021-05-05T14:18:17Z\n", "'six' is no file name of a package"),
        (f"{SIX},2021-05-05T14:18:17Z\n{SIX},2021-05-06T14:18:17Z\n", "has two upload times"),
        ('{"a', "it is no JSON"),
        ("[1]", "names no file"),
        ("\n".join(f"x{number},1" for number in range(9)), " and 5 more"),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("'", ".")):
        read_index_dates(text)
