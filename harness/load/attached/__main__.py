"""`python3 -m harness.load.attached FOLDER`: the load client; with the argument `probes` instead: its probe process.

gevent must patch the standard library before anything else imports it.
"""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402 - after the patch
import signal  # noqa: E402 - after the patch
import sys  # noqa: E402 - after the patch
from pathlib import Path  # noqa: E402 - after the patch

if __name__ == "__main__":
    # a wish to stop that the terminal sends to everybody is the harness's to honour
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.argv[1:] == ["probes"]:
        from harness.load.attached.probes import main

        main()
    else:
        os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"  # done
        from harness.load.attached.client import main as serve

        serve(Path(sys.argv[1]))
