"""The kinds of feature, one file each; `state/README.md` says how to add one."""
