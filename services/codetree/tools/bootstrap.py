"""Runs inside the jail, sent as text and never imported by the service: loads the tools, then becomes the program.

Tools and program stay separate files, so that a traceback names the right file, line and source, and nothing else.
"""


def start(folder: str, tools: list[str], program_file: str) -> None:
    """Give ``__main__`` every public name of ``tools`` and nothing of this file, then run the program in it."""
    import sys  # noqa: PLC0415 - a name at module level would be the program's
    from types import TracebackType  # noqa: PLC0415

    def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        for _ in range(2):  # this file's own frames
            traceback = traceback.tb_next if traceback else None
        sys.__excepthook__(kind, error.with_traceback(traceback), traceback)

    main = sys.modules["__main__"].__dict__
    main.update(__doc__=None)
    del main["start"]
    sys.excepthook = show
    for tool in tools:
        module = __import__(f"{folder}.{tool}", fromlist=["*"])
        main.update({name: value for name, value in vars(module).items() if not name.startswith("_")})
    with open(program_file, encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs every run an import
        program = compile(file.read(), program_file, "exec", dont_inherit=True)
    exec(program, main)  # noqa: S102 - this is the jail
