c = get_config()  # noqa: F821 - given by traitlets

# The history is a sqlite file in the home; on NFS its locks are a known way to hang a kernel.
c.HistoryManager.hist_file = ":memory:"
