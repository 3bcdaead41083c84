"""`python3 -m harness.load`: the load client; with the argument `probes`: its probe process.

gevent must patch the standard library before anything else imports it.
"""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402 - after the patch
import sys  # noqa: E402 - after the patch

if __name__ == "__main__":
    if sys.argv[1:] == ["probes"]:
        from harness.load.probes import main
    else:
        os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"  # done
        from harness.load.client import main
    main()
