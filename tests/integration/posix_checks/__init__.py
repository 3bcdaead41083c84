"""What programs in a home directory expect of its filesystem: `python3 -m posix_checks DIR`.

Standard library only, because it runs inside the node under test, beside git, tar and a shell. Every check gets an
empty directory of its own below DIR. Exit 0 when all passed; else 1 and a list of the failed checks.
"""
