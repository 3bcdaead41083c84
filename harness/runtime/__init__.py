"""A deployment: narrow protocols (`base`), the real engine (`docker`), a fake for tests (`fake`)."""
