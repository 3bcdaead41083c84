"""What this release adds to the hub's configuration: nothing."""
