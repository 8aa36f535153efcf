#!/bin/bash
# Computes the parity references again with Hugging Face transformers.
#
#   run.sh           demands the committed references within 1e-6 (the long test of parity)
#   run.sh --write   writes tests/parity/references anew
#   run.sh --if-long the first, but only when MORAY_TEST_LONG is set; otherwise exit 77, skipped
#
# The virtual environment with the pinned versions is made at the first call, in
# MORAY_PARITY_VENV (default: ~/.cache/moray/parity-venv). Needs python3 with venv and pip.
set -euo pipefail
if [[ ${1:-} == --if-long && -z ${MORAY_TEST_LONG:-} ]]; then
  echo "SKIPPED: only under MORAY_TEST_LONG=1 (it installs PyTorch in a virtual environment)"
  exit 77
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${MORAY_PARITY_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/moray/parity-venv}
torch=torch==2.15.0
# Libraries that torch opens at import and that the CUDA toolkit does not have.
torch_libraries="nvidia-cufile==1.20.0.107 nvidia-cusparselt-cu13==0.10.0
  nvidia-nvshmem-cu13==3.8.0 nvidia-nccl-cu13==2.32.3"
cuda_library_path=${CUDA_HOME:-/usr/local/cuda}/lib64

pins=$(cat "$here/run.sh" "$here/requirements.txt" | sha256sum | cut -c1-16)
if [[ ! -e $venv/pins.$pins ]]; then
  rm -rf "$venv"
  if ! python3 -m venv "$venv"; then
    echo "parity: python3 cannot make a virtual environment. Debian: apt-get install python3-venv" >&2
    exit 1
  fi
  if [[ -e $cuda_library_path/libcudart.so.13 && -e $cuda_library_path/libcudnn.so.9 ]]; then
    # The machine's CUDA 13 serves, so that gigabytes of packages are not needed.
    "$venv/bin/pip" install --quiet --no-deps "$torch"
    "$venv/bin/pip" install --quiet --no-deps $torch_libraries
  else
    "$venv/bin/pip" install --quiet "$torch"
  fi
  "$venv/bin/pip" install --quiet --no-deps -r "$here/requirements.txt"
  touch "$venv/pins.$pins"
fi

arguments=("$here/references")
[[ ${1:-} == --write ]] || arguments+=(--check)
export LD_LIBRARY_PATH=$cuda_library_path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
exec "$venv/bin/python" "$here/make_references.py" "${arguments[@]}"
