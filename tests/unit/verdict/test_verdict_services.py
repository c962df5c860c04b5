"""VERDICTS rule 28: a training that fails for a database is not its author's failure, and the database is named."""

from __future__ import annotations

import pytest

from runner.schema.reproduction import Verdict
from runner.schema.rerun import Ending
from tests.support.values import judge, make_rerun

SAID = {
    'psycopg2.OperationalError: could not translate host name "db.corp.example" to address: Temporary failure in name '
    "resolution": "PostgreSQL at db.corp.example",
    'connection to server at "10.1.2.3", port 5432 failed: Network is unreachable': "PostgreSQL at 10.1.2.3",
    "pymysql.err.OperationalError: (2003, \"Can't connect to MySQL server on 'db.corp.example' ([Errno -3] Temporary "
    'failure in name resolution)")': "MySQL at db.corp.example",
    "pymongo.errors.ServerSelectionTimeoutError: mongo:27017: [Errno -3] Temporary failure": "MongoDB at mongo:27017",
    "pyodbc.OperationalError: ('HYT00', '[HYT00] [Microsoft][ODBC Driver 17] Login timeout expired')": (
        "an ODBC database"
    ),
    "botocore.exceptions.NoCredentialsError: Unable to locate credentials": "a service of AWS",
    'EndpointConnectionError: Could not connect to the endpoint URL: "https://b.s3.amazonaws.com/x"': (
        "a service of AWS at https://b.s3.amazonaws.com/x"
    ),
    "google.auth.exceptions.DefaultCredentialsError: Your default credentials were not found.": (
        "a service of Google Cloud"
    ),
}


@pytest.mark.parametrize(("line", "what"), SAID.items())
def test_a_database_that_a_driver_could_not_reach_is_named_and_its_data_is_to_be_pinned(line: str, what: str) -> None:
    rerun = make_rerun(ending=Ending.CRASHED, exit_code=1, log_tail=("Traceback", line, "", "(Background on ...)"))
    decision = judge(rerun=rerun)
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert decision.reason.startswith(f"the training reads {what}, which a rerun neither reaches nor has a login for")
    assert decision.missing is not None
    assert "`inputs` in runner.yaml" in decision.missing.remedy


def test_a_password_in_what_a_driver_says_is_told_to_nobody() -> None:
    line = "ServerSelectionTimeoutError: mongodb://ann:hunter2@mongo:27017: refused"
    decision = judge(rerun=make_rerun(ending=Ending.CRASHED, exit_code=1, log_tail=(line,)))
    assert "hunter2" not in repr(decision)


def test_other_failures_are_the_authors() -> None:
    log = ("ValueError: server at home, data from MySQL server on disk",)
    assert judge(rerun=make_rerun(ending=Ending.CRASHED, exit_code=1, log_tail=log)).verdict is Verdict.FAILED
