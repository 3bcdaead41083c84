"""What every other package may use: clock, model, events, rows, verdict. Standard library only."""
