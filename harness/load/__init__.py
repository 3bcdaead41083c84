"""The people (Locust users) and the instruments (open-loop probes), run in the client container."""
