# shellcheck shell=bash disable=SC2154  # sourced by ../../moray, which sets root, preset, build, program
# Ranks in the launcher: is this process one already, and if not, how many to start and where.

# Whether mpirun or srun started this process. A batch script has SLURM_PROCID too but no step, or
# one of Slurm's pseudo steps (>= 2^32 - 16); in it the launcher may build and start ranks.
under_job_launcher() {
  [ -n "${OMPI_COMM_WORLD_SIZE:-}${PMIX_RANK:-}${PMI_RANK:-}${MPI_LOCALRANKID:-}" ] && return 0
  [ -n "${SLURM_PROCID:-}" ] && [ -n "${SLURM_STEP_ID:-}" ] && [ "${SLURM_STEP_ID}" -lt 4294967280 ]
}

# Physical cores that this process may use: hardware threads of one core count once.
core_count() {
  local allowed range first last cpu seen=" " count=0 siblings
  allowed=$(awk '/^Cpus_allowed_list/ {print $2}' /proc/self/status 2>/dev/null)
  if [ -z "$allowed" ]; then
    nproc 2>/dev/null || echo 1
    return
  fi
  for range in ${allowed//,/ }; do
    first=${range%-*} last=${range#*-}
    for ((cpu = first; cpu <= last; ++cpu)); do
      siblings=$cpu
      [ ! -r "/sys/devices/system/cpu/cpu$cpu/topology/thread_siblings_list" ] ||
        read -r siblings <"/sys/devices/system/cpu/cpu$cpu/topology/thread_siblings_list"
      [[ $seen == *" $siblings "* ]] || { seen+="$siblings " && count=$((count + 1)); }
    done
  done
  echo "$count"
}

# mpirun_options FITS THREADS: how this mpirun is told where ranks run. FITS is yes when every rank
# can have THREADS cores of its own; else ranks share cores and nothing is bound.
mpirun_options() {
  local fits=$1 threads=$2 version
  version=$(mpirun --version 2>&1 | head -n 1)
  case $version-$fits in
    *"Open MPI"*-yes) echo "--map-by slot:PE=$threads --bind-to core" ;;
    *"Open MPI) "[1-4].*-no) echo "--oversubscribe --bind-to none" ;;
    *"Open MPI"*-no) echo "--map-by :OVERSUBSCRIBE --bind-to none" ;;
    *HYDRA*-yes) echo "-bind-to core:$threads" ;; # MPICH, untested
    *HYDRA*-no) echo "-bind-to none" ;;
  esac
}

# start COMMAND...: executes the program, on as many ranks as -n or the deck asks for.
#
# `moray launch-info COMMAND...` prints what the deck asks for: "ranks=4 threads=1". It fails where
# the command line is wrong or has no deck: one rank of the program then says what is wrong.
start() {
  local info threads=1 cores fits=no
  info=$("$program" launch-info "$@" 2>/dev/null) || info=""
  [[ $info =~ threads=([0-9]+) ]] && threads=${BASH_REMATCH[1]}
  [ -n "$ranks" ] || { [[ $info =~ ranks=([0-9]+) ]] && ranks=${BASH_REMATCH[1]}; } || ranks=1
  threads=${OMP_NUM_THREADS:-$threads}
  cores=$(core_count)
  [ $((ranks * threads)) -le "$cores" ] && fits=yes

  export OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-$threads}
  if [ "$fits" = yes ]; then
    export OMP_PROC_BIND=${OMP_PROC_BIND:-close} OMP_PLACES=${OMP_PLACES:-cores}
  else
    # Ranks that wait give their core to those that compute.
    export OMP_PROC_BIND=${OMP_PROC_BIND:-false} OMPI_MCA_mpi_yield_when_idle=${OMPI_MCA_mpi_yield_when_idle:-1}
  fi
  [ "$ranks" -gt 1 ] || exec "$program" "$@"

  command -v mpirun >/dev/null || die "$ranks ranks were asked for, but there is no mpirun; use the job launcher: srun -n $ranks $program $*"
  say "$ranks ranks x $threads threads on $cores cores: $([ "$fits" = yes ] && echo "each has its own" || echo "shared, not bound")"
  # Root is the only user of many containers; Open MPI asks twice, 5 under two names.
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  export PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1
  # shellcheck disable=SC2046
  exec mpirun -n "$ranks" $(mpirun_options "$fits" "$threads") "$program" "$@"
}
