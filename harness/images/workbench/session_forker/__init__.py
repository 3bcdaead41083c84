"""Starts sessions by forking a warm parent: real jupyterhub-singleuser and real ipykernel, nothing left to import.

The parent (`__main__`) has imported what servers and kernels need and does nothing but accept and fork. The child
(`child`) reads the request, answers for itself and becomes the server or the kernel; `request` is the side of those who
ask, the hub's spawner and the servers (`provisioner`, for their kernels).

What forked sessions share beside memory pages is Python's hash seed; random generators are seeded anew.
"""
