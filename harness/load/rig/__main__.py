"""`python3 -m harness.load.rig WHICH`: one of the rig's three programs."""

import sys

if __name__ == "__main__":
    which = sys.argv[1:]
    if which == ["server"]:
        from harness.load.rig.supervisor import main
    elif which == ["witness"]:
        from harness.load.rig.witness import main
    elif which == ["probes"]:
        from harness.load.rig.probes import main
    else:
        sys.exit(f"expected server, witness or probes, not {' '.join(which) or 'nothing'}")
    main()
