# moray_mpirun(<name> RANKS <n> [LABELS <labels...>] [TIMEOUT <seconds>] COMMAND <command...>)
#
# A CTest test that starts COMMAND on n ranks, as root and on fewer cores than ranks too. How an MPI
# is told to allow that differs between Open MPI 4 and 5 and MPICH: only this file (and the launcher
# `moray` for people) knows. The label mpi<n> is added.
execute_process(COMMAND ${MPIEXEC_EXECUTABLE} --version OUTPUT_VARIABLE mpiexec_version ERROR_VARIABLE mpiexec_version)
if(mpiexec_version MATCHES "Open(RTE| MPI)\\) ([0-9]+)" AND CMAKE_MATCH_2 LESS 5)
  set(MORAY_MPIRUN_FLAGS --oversubscribe --bind-to none)
elseif(mpiexec_version MATCHES "Open(RTE| MPI)\\) ([0-9]+)")
  set(MORAY_MPIRUN_FLAGS --map-by :OVERSUBSCRIBE --bind-to none)
else()
  set(MORAY_MPIRUN_FLAGS "")
endif()
set(MORAY_MPIRUN_ENVIRONMENT
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1
  OMPI_MCA_mpi_yield_when_idle=1)

function(moray_mpirun name)
  cmake_parse_arguments(ARG "" "RANKS;TIMEOUT" "LABELS;COMMAND" ${ARGN})
  add_test(NAME ${name} COMMAND ${MPIEXEC_EXECUTABLE} -n ${ARG_RANKS} ${MORAY_MPIRUN_FLAGS} ${ARG_COMMAND})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS};mpi${ARG_RANKS}" TIMEOUT ${ARG_TIMEOUT}
    ENVIRONMENT "${MORAY_MPIRUN_ENVIRONMENT}" PROCESSORS ${ARG_RANKS})
endfunction()
