"""Wires a run: orchestrator, recorder, artifacts."""
