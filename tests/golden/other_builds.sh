#!/bin/bash
# Builds the golden program in other ways and compares its bits on one rank: g++ -O1, the whole program
# for this processor alone, and the newest clang that is installed.
#
#   other_builds.sh SOURCE FOLDER   builds in FOLDER/<way>; several minutes each
#
# Only when MORAY_TEST_LONG is set; otherwise exit 77, skipped.
set -euo pipefail
source=$1 folder=$2
if [[ -z ${MORAY_TEST_LONG:-} ]]; then
  echo "SKIPPED: only under MORAY_TEST_LONG=1 (it builds the program three times)"
  exit 77
fi
unset MORAY_TEST_LONG # each dimension once a build
launcher=()
[[ -z $(command -v ccache) ]] || launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)

failed=0
# way NAME CMAKE-OPTIONS...
way() {
  local name=$1 deck
  shift
  cmake -S "$source" -B "$folder/$name" -G Ninja -DCMAKE_BUILD_TYPE=Release "${launcher[@]}" "$@" >/dev/null
  cmake --build "$folder/$name" --target golden >/dev/null
  for deck in dense moe mtp yarn bf16 fp8; do
    echo "$name $deck"
    "$folder/$name/tests/golden/golden" "$source/tests/golden/$deck.yaml" || failed=1
  done
}

way O1 "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG"
way native -DMORAY_ARCH=native
clang=$(compgen -c clang++- | sort -V | tail -n 1)
if [[ -n $clang ]]; then
  way clang "-DCMAKE_CXX_COMPILER=$clang" "-DCMAKE_C_COMPILER=${clang/++/}"
else
  echo "no clang++-<version>: that build was left out"
fi
exit "$failed"
