"""A program that publishes or claims events, and is killed before or after it commits.

Arguments: the database's URL, ``publish`` or ``claim``, and ``before`` or ``after``.
"""

import os
import signal
import sys

from modelyard.events.service import claim_unseen, publish
from modelyard.kernel.database import Database
from tests.events.conftest import an_event


def main() -> None:
    url, what, when = sys.argv[1:]
    database = Database(url)
    with database.write() as session:
        if what == "publish":
            publish(session, an_event("from a program"))
        else:
            print(len(claim_unseen(session, "program")), flush=True)
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
