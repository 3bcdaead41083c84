"""Snapshots of a node that keeps everything on its own disk, and their restoring on another machine.

A snapshot is a folder of the backup disk, named after the moment (UTC) that it holds, with the hub's database, an
archive of all homes and a manifest. Copies to a warm standby are of what is there now. Standard library, GNU tar and
rsync only.
"""
