"""The only code that runs inside a jail. Standard library only; it knows nothing of the service.

Packed into one archive of compiled modules, and run as three kinds of process, each forked from the one before:

- the **template** (:mod:`~sandbox.guest.template`), in bubblewrap's outer jail: an interpreter that has imported what
  programs will want, and does nothing but fork. It never sees a program, a file or a secret.
- **PID 1** of a jail (:mod:`~sandbox.guest.init`): makes the jail around itself, closes it, forks the program,
  supervises, collects. It sees no job, and cannot be signalled, traced or read by the program.
- the **program** (:mod:`~sandbox.guest.program`), or a session's interpreter (:mod:`~sandbox.guest.cells`): waits for
  its job, and becomes it.
"""
