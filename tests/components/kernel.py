"""A stand-in for sysctl that keeps settings in a file beside the sandbox, so that they outlive a script."""

SYSCTL = """
touch "$SANDBOX/kernel"
for argument in "$@"; do
  case $argument in
    --load=*) sed 's/ = /=/' "${argument#*=}" >>"$SANDBOX/kernel" ;;
    kernel.hostname) echo "$argument = $(hostname)" ;;
    [a-z]*) tac "$SANDBOX/kernel" | sed -n "s/^$argument=/$argument = /p" | head -n 1 ;;
  esac
done
"""
