#!/usr/bin/env bash
# check_symbols.sh ISA OBJECT...
# The objects that were compiled with the -m flags of ISA may define only names of namespace
# moray::ISA. A weak copy of anything shared (an inline function, a template of the STL or Kokkos)
# could be the one that the linker keeps, and would crash a processor without ISA. For the same
# reason they may not ask for names of C++ libraries.
set -euo pipefail

isa=$1
shift
[ $# -gt 0 ] || { echo "no objects given"; exit 1; }

failed=0
names=0
for object in "$@"; do
  defined=$(nm -C --defined-only --extern-only "$object")
  names=$((names + $(grep -c . <<<"$defined" || true)))
  # Columns: address, kind, name. Names of the namespace, also as "vtable for ..." and the like.
  foreign=$(sed -E 's/^[0-9a-f]* +. //' <<<"$defined" |
    grep -vE "^$|^(guard variable for |vtable for |typeinfo (name )?for )?([a-z ]+ )?moray::$isa::" || true)
  if [ -n "$foreign" ]; then
    echo "$object defines names outside moray::$isa:"
    echo "$foreign"
    failed=1
  fi
  libraries=$(nm -C --undefined-only "$object" | grep -E ' (std|Kokkos|__gnu_cxx|fmt)::' || true)
  if [ -n "$libraries" ]; then
    echo "$object needs names of C++ libraries:"
    echo "$libraries"
    failed=1
  fi
done

if [ "$names" -eq 0 ]; then
  echo "the objects define no names at all: is nm reading them?"
  exit 1
fi
[ $failed -eq 0 ] && echo "$names names in $# objects, all in moray::$isa"
exit $failed
