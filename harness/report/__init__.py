"""Shows what analysis found: terminal, HTML, JUnit. Computes nothing.

Importing this package is cheap: each kind of report is a module of its own, and what draws is imported when it draws.
"""
