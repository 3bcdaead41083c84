"""The agent: runs beside the containers, acts for the faults and cleans up when nobody asks any more."""
