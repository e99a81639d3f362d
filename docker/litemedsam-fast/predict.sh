# What the challenge runs in this image: /bin/bash -c "sh predict.sh".
exec python -m models.fast --networks networks "$@"
