"""What confines a run: bubblewrap's arguments, the seccomp filter, the control groups, and the process they hold."""
