"""The kinds of feature, one file each; `state/README.md` describes how to add one."""
