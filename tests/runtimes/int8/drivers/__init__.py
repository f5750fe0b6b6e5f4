"""As onnxpool/targets/running/drivers/, which they build on: `load` quantizes."""
