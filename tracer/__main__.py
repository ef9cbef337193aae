"""`python -m tracer` is the command `stepscope`."""

from tracer.entry import main

if __name__ == "__main__":
    main()
