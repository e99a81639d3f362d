# What the challenge runs in this image: /bin/bash -c "sh predict.sh".  Arguments are the program's (--overlay DIR).
if [ -f weights/lite_medsam.pth ]; then
  set -- --checkpoint weights/lite_medsam.pth "$@"
fi
exec python -m models.litemedsam "$@"
