"""A provider for wes-daemon that runs shell scripts from a directory."""
