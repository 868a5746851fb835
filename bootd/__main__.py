"""``python -m bootd``: the same as the ``bootd`` command."""

from bootd.cli.main import main

if __name__ == "__main__":
    main()
