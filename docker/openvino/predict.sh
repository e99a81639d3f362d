# What the challenge runs in these images: /bin/bash -c "sh predict.sh".  Arguments are the program's.
exec python -m models.fast --networks networks "$@"
