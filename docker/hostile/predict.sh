#!/bin/sh
# Runs the behaviour that the image was built for.
case "$BEHAVIOUR" in
*-child*)
  # The kernel kills the child; the shell goes on and ends as if all were well.
  python3 main.py "$BEHAVIOUR"
  exit 0
  ;;
*)
  exec python3 main.py "$BEHAVIOUR"
  ;;
esac
