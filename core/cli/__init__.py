"""The command line: the only room that knows Hydra, the Lightning CLI, argv and run folders."""
