"""The kinds of faults, a module for each family; `harness.faults.registry` lists them."""
