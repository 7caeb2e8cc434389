"""`python -m wes_daemon`."""

from wes_daemon.entrypoints.cli.main import main

if __name__ == "__main__":
    main()
