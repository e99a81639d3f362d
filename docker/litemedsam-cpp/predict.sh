# What the challenge runs in this image: /bin/bash -c "sh predict.sh".  Arguments are the program's.
exec ./segment "$@"
