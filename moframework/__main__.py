"""`python -m moframework` is the command line."""

from moframework.cli.main import main

if __name__ == "__main__":
    main(prog_name="moframework")
