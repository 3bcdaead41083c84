"""Makes a Workbench node one half of an active/passive pair: lease, hub, proxy, fencing."""
