"""What int8 takes away: every construct, quantized by each toolchain on random data.

drivers/ has a file for each toolchain, as onnxpool/targets/running/drivers/ has for float; a driver
reads the values that it calibrates with from calibration.npz beside the model. qdq.py quantizes for
what runs quantized models and makes none.
"""
