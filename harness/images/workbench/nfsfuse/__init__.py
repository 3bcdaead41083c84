"""An NFSv3 client as a FUSE filesystem, for nodes whose kernel has no NFS client.

    python3 -m nfsfuse -o hard,timeo=60 storage:/export /homes

It runs in the foreground on Debian bookworm's python3, python3-pyfuse3 and python3-trio, with its own RPC.
From the wire up: `xdr` and `rpc_message` (bytes), `protocol` (the NFSv3 data types), `rpc` (one connection
that survives its server), `nfs3` (the calls), `nodes` and `writeback` (what the client remembers),
`filedata` (reading and writing), `filesystem` (what the kernel asks). Only `filesystem` and `__main__` need
pyfuse3, only `rpc` and those two need trio.

Consistency is close-to-open, as with a kernel client: what one node wrote and closed, another sees when it
opens the file afterwards. Locks hold within a node only, like the kernel client's `nolock`.
"""
