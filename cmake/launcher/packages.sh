# shellcheck shell=bash disable=SC2154  # sourced by ../../moray, which sets root, preset, build, program
# Packages of the launcher: what Moray needs on which system, and how it is installed.

# The system as "debian-12"; empty where there is no apt.
system_name() {
  command -v apt-get >/dev/null && command -v dpkg-query >/dev/null || return 0
  (. /etc/os-release && echo "${ID:-}-${VERSION_ID:-}") 2>/dev/null
}

# packages_of SYSTEM [tests]: package names, on one line. Empty for a system that is not listed.
#
# Kokkos Kernels, OpenBLAS and oneDNN are optional for the program and there for its vendor
# variants; Debian 13 and Ubuntu have oneDNN 3, whose interface is another one. The names for Ubuntu
# are untested.
packages_of() {
  local system=$1 tests=${2:-}
  local common="g++ cmake ninja-build ccache git libopenmpi-dev openmpi-bin libhdf5-openmpi-dev hdf5-tools
    libyaml-cpp-dev libopenblas-dev libcli11-dev nlohmann-json3-dev libfmt-dev libxxhash-dev librandom123-dev"
  local common_tests="catch2 libmpfr-dev python3-h5py python3-jsonschema python3-matplotlib python3-numpy strace"
  # Debian's Kokkos is for the Serial backend: other presets bring their own.
  case $preset in
    default | debug | asan)
      [ -n "${Kokkos_ROOT:-}${Kokkos_DIR:-}" ] ||
        common+=" libtrilinos-kokkos-dev libtrilinos-kokkos-kernels-dev"
      ;;
  esac
  case $system in
    debian-12) common+=" libdnnl-dev" common_tests+=" clang-16 clang-format-14 chromium-headless-shell" ;;
    debian-13) common_tests+=" clang-19 chromium-headless-shell" ;;
    ubuntu-24.04) common_tests+=" clang-16 clang-format-14" ;;
    *) return 0 ;;
  esac
  [ -z "$tests" ] || common+=" $common_tests"
  echo $common # unquoted: one line
}

# How to become root: "" for root, "sudo", or failure.
root_command() {
  if [ "$(id -u)" = 0 ]; then
    echo ""
  elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    echo sudo
  else
    return 1
  fi
}

# missing_packages NAME...: those of NAME that are not installed, one a line.
missing_packages() {
  local installed
  installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null | awk '$1 == "ii" {print $2}' || true)
  printf '%s\n' "$@" | grep -vxF "${installed:-none}" || true
}

# install_missing [tests]: installs what is missing, after saying what. Where it cannot (no apt, an
# unknown system, no root), it says so and returns: CMake then lists what it does not find, which on
# a cluster comes from modules.
install_missing() {
  local system wanted missing become
  system=$(system_name)
  wanted=$(packages_of "$system" "${1:-}")
  if [ -z "$wanted" ]; then
    say "no package list for this system (${system:-no apt}): using the libraries that are here"
    return 0
  fi
  # shellcheck disable=SC2086
  missing=$(missing_packages $wanted | paste -sd' ')
  [ -n "$missing" ] || return 0
  if [ "${MORAY_INSTALL:-yes}" = no ] || ! become=$(root_command); then
    say "these packages are not installed and cannot be (no root, no sudo, or MORAY_INSTALL=no): $missing"
    return 0
  fi
  say "installing with apt-get: $missing"
  # shellcheck disable=SC2086
  apt_install "$become" $missing || die "apt-get failed (see above); install by hand: apt-get install $missing"
}

# apt_install BECOME NAME...: from the package lists that are there if they know every name, else
# after one apt-get update.
apt_install() {
  local become=$1
  shift
  local get="$become env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600"
  if apt-get -s -q install --no-install-recommends "$@" >/dev/null 2>&1 && $get install --no-install-recommends "$@" >&2 </dev/null; then
    return 0
  fi
  $get update >&2 </dev/null && $get install --no-install-recommends "$@" >&2 </dev/null
}
