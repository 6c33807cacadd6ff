"""The subcommands, one file each, over `core.services`. No Qt, no torch."""
