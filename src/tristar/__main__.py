"""`python -m tristar` is the same as `tristar`."""

from tristar.cli import main

if __name__ == "__main__":
    main()
