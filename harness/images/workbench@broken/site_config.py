"""A release that is broken on purpose: it starts and says that it is healthy, and nobody can log in.

Nobody is allowed who is not on the list, which has been the default since JupyterHub 5 and has locked people out of
platforms that were upgraded.
"""

c = get_config()  # noqa: F821 - given by traitlets

c.Authenticator.allow_all = False
c.Authenticator.allowed_users = {"nobody-in-particular"}
